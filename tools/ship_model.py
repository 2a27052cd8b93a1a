# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Put the network of a training run into the package: ``kp2d_ros/models/NAME.safetensors`` with float16 weights, its
IO-Net beside it, and its ONNX form if that is wanted.

    python tools/ship_model.py RUN NAME [--which best] [--onnx]

The rounding to float16 changes the hash in the model id; IO-Net is bound to the new one. The model card ``NAME.md`` is
written by hand.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from kp2d_ros.inference.export import export_onnx
from kp2d_ros.networks.checkpoint import checkpoint_from_network, load_network, save_checkpoint
from kp2d_ros.networks.inlier_net import load_inlier_net, save_inlier_net

MODELS = Path(__file__).absolute().parents[1] / 'kp2d_ros' / 'models'


def main() -> None:
    """
    Convert one run.
    """
    parser = argparse.ArgumentParser(description='put the network of a training run into the package')
    parser.add_argument('run', type=Path, help='folder of the run')
    parser.add_argument('name', help='of the network, the first part of its model id')
    parser.add_argument('--which', choices=('best', 'last'), default='last')
    parser.add_argument('--onnx', action='store_true', help='write NAME.onnx as well')
    args = parser.parse_args()
    network, info = load_network(args.run / f'{args.which}.safetensors')
    checkpoint = checkpoint_from_network(network, args.name, is_trained=True, metadata=info.metadata, half=True)
    MODELS.mkdir(exist_ok=True)
    save_checkpoint(MODELS / f'{args.name}.safetensors', checkpoint)
    inlier_file = args.run / f'{args.which}_inlier.safetensors'
    if inlier_file.is_file():
        inlier = load_inlier_net(inlier_file)
        model_id = checkpoint.info.model_id
        save_inlier_net(MODELS / f'{args.name}_inlier.safetensors', inlier.network.half(), model_id, inlier.output)
    if args.onnx:
        export_onnx(checkpoint, MODELS / f'{args.name}.onnx')
    for path in sorted(MODELS.glob(f'{args.name}*')):
        print(f'{path.stat().st_size / 1e6:6.2f} MB  {path.name}')
    print(checkpoint.info.model_id)


if __name__ == '__main__':
    main()
