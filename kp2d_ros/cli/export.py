# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
``kp2d export``: a network as an ONNX file, compared with torch before it is kept.
"""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path

from kp2d_ros.cli.command import run_command
from kp2d_ros.core.errors import ConfigError
from kp2d_ros.inference.backend import require_trained
from kp2d_ros.inference.models import resolve
from kp2d_ros.networks.config import PRESETS

SUMMARY = 'Write a network as an ONNX file and compare the outputs of torch and ONNX Runtime.'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """
    The options of the command.
    """
    parser.add_argument(
        '--method',
        required=True,
        metavar='NAME',
        help='checkpoint (.safetensors, or .ckpt of the public KP2D code), a network that ships, or '
        f'untrained:PRESET ({", ".join(PRESETS)})',
    )
    parser.add_argument('--out', required=True, type=Path, metavar='FILE', help='the file to write, NAME.onnx')
    parser.add_argument('--height', type=int, default=0, help='image height of a file for one size; else any size')
    parser.add_argument('--width', type=int, default=0, help='image width of a file for one size; else any size')


def run(args: argparse.Namespace) -> int:
    """
    Export, compare, and print what was written.

    :raises Kp2dError: if the model cannot be loaded, the file not written, or the outputs differ.
    """
    # Seconds of imports that --help does not need.
    from kp2d_ros.inference.export import export_onnx
    from kp2d_ros.inference.torch_backend import open_checkpoint

    if args.out.suffix != '.onnx':
        raise ConfigError(f'--out: found {str(args.out)!r}, expected a name that ends in .onnx')
    choice = resolve(args.method, 'cpu', 'torch')
    checkpoint = open_checkpoint(choice)
    info = checkpoint.info
    require_trained(info.model_id, info.is_trained, choice.allow_untrained)
    report = export_onnx(checkpoint, args.out, args.height, args.width)
    made, found = report.metadata, report.differences
    sizes = f'{made.width}x{made.height}' if made.width else f'any multiple of {made.size_multiple}'
    print(f'model        {made.model_id}' + ('' if info.is_trained else ' (never trained)'))
    print(f'file         {report.path} ({report.byte_count / 1e6:.1f} MB)')
    print(f'image sizes  {sizes}')
    print(f'descriptors  {made.config.descriptor_dim} numbers')
    print('largest differences between torch and ONNX Runtime:')
    print(f'  score       {found.score:.2g}')
    print(f'  xy          {found.xy_px:.2g} px')
    print(f'  descriptor  {found.descriptor:.2g}')
    return 0


main = partial(run_command, 'kp2d export', SUMMARY, add_arguments, run)

if __name__ == '__main__':
    raise SystemExit(main())
