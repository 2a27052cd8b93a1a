# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Accuracy for the milliseconds of refining a window of keyframes: the solver of this package, SciPy, GTSAM, Ceres.

The windows are those of the frontend over a simulated stereo sequence. One JSON line per solver: the error of the
motion between the two newest keyframes of each window (rms, against the true poses), wall clock and processor time per
window; ``start`` is what the windows begin with. SciPy and Ceres minimise the same cost as this package, SciPy by
differences of a sparse Jacobian, Ceres with residuals called in Python (its wheel has no others for this cost). GTSAM
takes its own stereo factors, in C++: the errors of a track are independent there. ``gtsam`` and ``pyceres`` are left
out where they are not installed; nothing else needs them. ``python benchmarks/window.py --help``
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from time import perf_counter, process_time
from typing import Any
from unittest import mock

import numpy as np
from scipy.optimize import least_squares
from scipy.sparse import csr_matrix, lil_matrix

from kp2d_ros.core.records import Float64Array
from kp2d_ros.core.se3 import hat, invert_transform, rotation_angle, rotation_from_vector, transform_points
from kp2d_ros.inference.pipeline import build_extractor, build_frontend, configure_method, load_pipeline_config
from kp2d_ros.odometry import window
from kp2d_ros.odometry.bundle import Adjusted, Bundle, Observations, adjust_bundle
from kp2d_ros.simulation.scene import SceneConfig, SimulatedSequence

_CAUCHY = 2.385  # as in kp2d_ros.odometry.least_squares


@dataclass(frozen=True, slots=True)
class Problem:
    """
    One window: what was seen, where one begins, how many poses stay, the noise, the true last motion (4, 4).
    """

    observations: Observations
    start: Bundle
    fixed: int
    sigma_px: float
    true_motion: Float64Array


Solver = Callable[[Problem], Float64Array]  # the poses (K, 4, 4)


def main() -> None:
    """
    Record the windows of one run, then let every solver have them.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--method', default='orb', help='what finds the keypoints')
    parser.add_argument('--frames', type=int, default=30)
    parser.add_argument('--keyframes', type=int, default=4)
    parser.add_argument('--points', type=int, default=500)
    parser.add_argument('--windows', type=int, default=10, help='most windows that take part')
    parser.add_argument('--repeats', type=int, default=3, help='of each solver; the fastest counts')
    arguments = parser.parse_args()
    settings = [f'window.keyframes={arguments.keyframes}', f'window.max_points={arguments.points}', 'sensor=stereo']
    scene = SceneConfig(frames=arguments.frames, color=False, speed=0.8, sensor='stereo')
    problems = record_problems(scene, arguments.method, settings)[-arguments.windows :]
    if not problems:
        parser.error('no window was refined: more frames are needed')
    points = [problem.observations.px_per_unit.shape[1] for problem in problems]
    common = {'benchmark': 'window', 'windows': len(problems), 'keyframes': arguments.keyframes}
    common['points'] = int(np.median(points))
    report(common, 'start', problems, lambda problem: problem.start.poses, 1)
    for name, solver in solvers().items():
        report(common, name, problems, solver, arguments.repeats)


def solvers() -> dict[str, Solver]:
    """
    By name; those whose library is not installed are named in a line and left out.
    """
    found: dict[str, Solver] = {f'kp2d_ros, {steps} steps': own_solver(steps) for steps in (1, 2, 4, 8)}
    found['scipy'] = solve_scipy
    for name, solver in (('gtsam', solve_gtsam), ('pyceres', solve_ceres)):
        if importlib.util.find_spec(name) is None:
            print_line({'benchmark': 'window', 'solver': name, 'skipped': 'not installed'})
        else:
            found[name] = solver
    return found


def record_problems(scene: SceneConfig, method: str, settings: list[str]) -> list[Problem]:
    """
    The windows of the frontend over a scene.
    """
    config = load_pipeline_config(overrides=settings)
    frontend = build_frontend(config, build_extractor(configure_method(method, config.extractor)))
    sequence = SimulatedSequence(scene)
    truth = sequence.ground_truth.world_from_camera
    problems: list[Problem] = []

    def record(observations: Observations, start: Bundle, fixed: int, steps: int) -> Adjusted:
        found = adjust_bundle(observations, start, fixed, steps)
        problems.append(Problem(observations, start, fixed, found.sigma_px, np.eye(4)))
        return found

    with mock.patch.object(window, 'adjust_bundle', record):
        for number, frame in enumerate(sequence):
            count = len(problems)
            result = frontend.process(frame)
            if len(problems) > count and result.pose is not None:
                before = truth[number - (result.seq - result.pose.reference_seq)]
                problems[-1] = replace(problems[-1], true_motion=invert_transform(before) @ truth[number])
    return problems


def report(common: dict[str, Any], name: str, problems: list[Problem], solver: Solver, repeats: int) -> None:
    """
    Print the line of one solver.
    """
    wall_ms, cpu_ms, off, turned = [], [], [], []
    for problem in problems:
        times = []
        for _ in range(repeats):
            wall, cpu = perf_counter(), process_time()
            poses = solver(problem)
            times.append((1e3 * (perf_counter() - wall), 1e3 * (process_time() - cpu)))
        wall_ms.append(min(times)[0])
        cpu_ms.append(min(times)[1])
        motion = invert_transform(poses[-2]) @ poses[-1]
        off.append(np.linalg.norm(motion[:3, 3] - problem.true_motion[:3, 3]))
        turned.append(rotation_angle(motion[:3, :3].T @ problem.true_motion[:3, :3]))
    figures = {
        'translation_mm': 1e3 * np.sqrt(np.mean(np.square(off))),
        'rotation_mdeg': 1e3 * np.degrees(np.sqrt(np.mean(np.square(turned)))),
        'wall_ms': np.median(wall_ms),
        'cpu_ms': np.median(cpu_ms),
    }
    print_line({**common, 'solver': name, **{key: round(float(value), 3) for key, value in figures.items()}})


def print_line(values: dict[str, Any]) -> None:
    """
    One line of JSON, at once.
    """
    print(json.dumps(values), flush=True)


def own_solver(steps: int) -> Solver:
    """
    The solver of the frontend, with so many steps.
    """
    return lambda problem: adjust_bundle(problem.observations, problem.start, problem.fixed, steps).bundle.poses


def moved(bundle: Bundle, vector: Float64Array, fixed: int) -> Bundle:
    """
    The bundle after steps of its free poses (6 F,), and its points (3 P,) after them.
    """
    free = 6 * (len(bundle.poses) - fixed)
    poses = bundle.poses.copy()
    for pose, step in zip(poses[fixed:], vector[:free].reshape(-1, 6), strict=True):
        pose[:3, 3] += step[:3]
        pose[:3, :3] = pose[:3, :3] @ rotation_from_vector(step[3:])
    return replace(bundle, poses=poses, rays=vector[free:].reshape(bundle.rays.shape))


def solve_scipy(problem: Problem) -> Float64Array:
    """
    The same cost by a general sparse solver.
    """
    observations, free = problem.observations, 6 * (len(problem.start.poses) - problem.fixed)

    def residuals(vector: Float64Array) -> Float64Array:
        bundle = moved(problem.start, vector, problem.fixed)
        seen = bundle.seen
        plane = seen[:, :2] / seen[:, 2:]
        off = (plane - observations.xy) * observations.px_per_unit[:, None] / problem.sigma_px
        steps = off.copy()
        steps[1:] -= observations.is_tracked[:, None] * off[:-1]
        depth = (bundle.nearness - observations.nearness) * observations.belief
        return np.concatenate([dampened(steps), dampened(depth[:, None])], axis=1).ravel()

    begin = np.concatenate([np.zeros(free), problem.start.rays.ravel()])
    found = least_squares(residuals, begin, jac_sparsity=pattern(problem), method='trf', x_scale='jac', max_nfev=10)
    return moved(problem.start, found.x, problem.fixed).poses


def dampened(residuals: Float64Array) -> Float64Array:
    """
    (K, D, P) residuals whose squares are the robust cost.
    """
    squared = np.maximum((residuals**2).sum(axis=1, keepdims=True), 1e-30)
    return np.asarray(residuals * np.sqrt(_CAUCHY**2 * np.log1p(squared / _CAUCHY**2) / squared))


def pattern(problem: Problem) -> csr_matrix:
    """
    Which of the residuals, in the order (K, 3, P), depend on which parameters.
    """
    count, points = problem.observations.px_per_unit.shape
    free = 6 * (count - problem.fixed)
    rows = np.arange(3 * count * points)
    filled = lil_matrix((len(rows), free + 3 * points), dtype=np.int8)
    for axis in range(3):
        filled[rows, free + axis * points + rows % points] = 1
    for number in range(problem.fixed, count):
        own = slice(6 * (number - problem.fixed), 6 * (number - problem.fixed) + 6)
        filled[3 * points * number : 3 * points * min(number + 2, count), own] = 1
    return csr_matrix(filled)


def world_points(bundle: Bundle) -> Float64Array:
    """
    (P, 3) points in the world; those behind infinity are put far away.
    """
    x, y, nearness = bundle.rays
    toward = np.stack([x, y, np.ones_like(x)]) / np.maximum(nearness, 1e-4)
    return np.stack(
        [transform_points(bundle.anchors[:, :, point], toward[:, point][None])[0] for point in range(toward.shape[1])]
    )


def solve_gtsam(problem: Problem) -> Float64Array:
    """
    Stereo factors of GTSAM: the image at z = 1, and a second one at a distance of 1 to the right.

    Its errors are independent; that of a keypoint is taken for as large as it has become by then.
    """
    gtsam = importlib.import_module('gtsam')
    observations, start = problem.observations, problem.start
    graph, values = gtsam.NonlinearFactorGraph(), gtsam.Values()
    camera = gtsam.Cal3_S2Stereo(1.0, 1.0, 0.0, 0.0, 0.0, 1.0)
    robust = gtsam.noiseModel.mEstimator.Cauchy(_CAUCHY)
    mix = np.array([[1.0, 0.0, 0.0], [1.0, 0.0, -1.0], [0.0, 1.0, 0.0]])  # left x, right x, y
    for number, pose in enumerate(start.poses):
        values.insert(number, gtsam.Pose3(pose))
        if number < problem.fixed:
            graph.add(gtsam.NonlinearEqualityPose3(number, gtsam.Pose3(pose)))
        for point in np.flatnonzero(observations.px_per_unit[number] > 0):
            x, y = observations.xy[number, :, point]
            nearness = observations.nearness[number, point]
            sigma = problem.sigma_px * np.sqrt(number + 1.0) / observations.px_per_unit[number, point]
            variances = np.array([sigma, sigma, 1.0 / max(observations.belief[number, point], 1e-3)]) ** 2
            noise = gtsam.noiseModel.Robust.Create(
                robust, gtsam.noiseModel.Gaussian.Covariance(mix @ np.diag(variances) @ mix.T)
            )
            seen = gtsam.StereoPoint2(x, x - nearness, y)
            key = len(start.poses) + int(point)
            graph.add(gtsam.GenericStereoFactor3D(seen, noise, number, key, camera, False, False))
    for key, place in enumerate(world_points(start), start=len(start.poses)):
        values.insert(key, place)
    parameters = gtsam.LevenbergMarquardtParams()
    parameters.setMaxIterations(10)
    found = gtsam.LevenbergMarquardtOptimizer(graph, values, parameters).optimize()
    return np.stack([found.atPose3(number).matrix() for number in range(len(start.poses))])


def solve_ceres(problem: Problem) -> Float64Array:
    """
    The same cost, with residuals in Python.
    """
    ceres = importlib.import_module('pyceres')
    observations, start = problem.observations, problem.start
    steps = [np.zeros(6) for _ in start.poses]
    rays = [ray.copy() for ray in start.rays.T]
    adjustment = ceres.Problem()
    for number, point in np.argwhere(observations.px_per_unit > 0):
        is_tracked = number > 0 and observations.is_tracked[number - 1, point]
        for rows in (slice(2), slice(2, 3)):
            views = [number - 1, number] if is_tracked and rows.start is None else [number]
            cost = ceres_cost(ceres, problem, views, int(point), rows)
            parameters = [*(steps[view] for view in views), rays[point]]
            adjustment.add_residual_block(cost, ceres.CauchyLoss(_CAUCHY), parameters)
    for step in steps[: problem.fixed]:
        adjustment.set_parameter_block_constant(step)
    options = ceres.SolverOptions()
    options.linear_solver_type = ceres.LinearSolverType.DENSE_SCHUR
    options.max_num_iterations = 10
    options.num_threads = 1
    ceres.solve(options, adjustment, ceres.SolverSummary())
    vector = np.concatenate([np.concatenate(steps[problem.fixed :]), np.stack(rays, axis=1).ravel()])
    return moved(start, vector, problem.fixed).poses


def ceres_cost(ceres: Any, problem: Problem, views: list[int], point: int, rows: slice) -> Any:
    """
    One residual block: ``rows`` of the last of the views, less those of the one before if there is one.
    """

    class Cost(ceres.CostFunction):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.set_num_residuals(2 if rows.start is None else 1)
            self.set_parameter_block_sizes([*([6] * len(views)), 3])

        def Evaluate(self, parameters: Any, residuals: Any, jacobians: Any) -> bool:
            residuals[:] = 0.0
            by_ray: Any = 0.0
            for index, view in enumerate(views):
                sign = 1.0 if index == len(views) - 1 else -1.0
                linear = sign * one_residual(problem, view, point, parameters[index], parameters[-1])[rows]
                residuals += linear[:, 0]
                by_ray = by_ray + linear[:, 7:]
                if jacobians is not None and jacobians[index] is not None:
                    jacobians[index][:] = linear[:, 1:7].ravel()
            if jacobians is not None and jacobians[-1] is not None:
                jacobians[-1][:] = by_ray.ravel()
            return True

    return Cost()


def one_residual(problem: Problem, view: int, point: int, step: Float64Array, ray: Float64Array) -> Float64Array:
    """
    (3, 10) the residuals of a point in a view, image and depth, and their derivatives by the step (6,) of its pose and
    by its ray (3,).
    """
    observations, pose = problem.observations, problem.start.poses[view]
    anchor = problem.start.anchors[:, :, point]
    rotation = pose[:3, :3] @ rotation_from_vector(step[3:])
    lever = anchor[:3, 3] - pose[:3, 3] - step[:3]
    seen = rotation.T @ (anchor[:3, :3] @ np.array([ray[0], ray[1], 1.0]) + ray[2] * lever)
    x, y, z = seen
    gain, belief = observations.px_per_unit[view, point] / problem.sigma_px, observations.belief[view, point]
    measured = np.array([*observations.xy[view, :, point], observations.nearness[view, point]])
    weights = np.array([gain, gain, belief])
    by_seen = np.array([[1, 0, -x / z], [0, 1, -y / z], [0, 0, -ray[2] / z]]) * (weights / z)[:, None]
    by_rotation = hat(seen) @ (np.eye(3) - 0.5 * hat(step[3:]))  # to the first order of a small step
    by_pose = by_seen @ np.column_stack([-ray[2] * rotation.T, by_rotation])
    by_ray = by_seen @ rotation.T @ np.column_stack([anchor[:3, :2], lever])
    by_ray[2, 2] += belief / z
    return np.column_stack([(np.array([x / z, y / z, ray[2] / z]) - measured) * weights, by_pose, by_ray])


if __name__ == '__main__':
    main()
