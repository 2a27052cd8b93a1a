# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
``kp2d pairs``: a contact sheet of training pairs, to look at the data before training on it.
"""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path

from kp2d_ros.cli.command import list_settings, run_command
from kp2d_ros.core.errors import ConfigError
from kp2d_ros.core.settings import build, merge, parse_overrides
from kp2d_ros.drawing.contact_sheet import draw_contact_sheet
from kp2d_ros.drawing.files import write_picture
from kp2d_ros.pairs.loading import epoch_order
from kp2d_ros.pairs.pair_maker import PAIR_PRESETS, PairConfig, PairMaker
from kp2d_ros.pairs.photos import open_photos

SUMMARY = 'draw a contact sheet of training pairs with their correspondences'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """
    What the command takes.
    """
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = 'settings and the defaults of the preset official_code:\n' + list_settings(PairConfig())
    parser.add_argument(
        '--data', action='append', required=True, type=Path, metavar='PATH', help='folder, tar file or bag; repeatable'
    )
    parser.add_argument('--out', required=True, type=Path, metavar='FILE', help='the picture to write, .png or .jpg')
    parser.add_argument('--preset', choices=list(PAIR_PRESETS), default='official_code', help='(default: %(default)s)')
    parser.add_argument('--count', type=int, default=6, metavar='N', help='number of pairs (default: %(default)s)')
    parser.add_argument('--seed', type=int, default=0, metavar='N', help='of the random stream (default: %(default)s)')
    parser.add_argument('--epoch', type=int, default=0, metavar='N', help='of the random stream (default: %(default)s)')
    parser.add_argument('settings', nargs='*', metavar='key=value', help='settings over those of the preset, see below')


def run(args: argparse.Namespace) -> int:
    """
    Make the pairs, write the picture, say where it is.
    """
    if args.count < 1 or min(args.seed, args.epoch) < 0 or max(args.seed, args.epoch) >= 2**63:
        raise ConfigError('expected --count from 1 on, --seed and --epoch from 0 to 2^63 - 1')
    config = build(PairConfig, merge(PAIR_PRESETS[args.preset], parse_overrides(args.settings)))
    photos = open_photos(args.data, config.photos, config.height, config.width)
    maker = PairMaker(photos, config, args.seed)
    indices = epoch_order(photos, args.seed, args.epoch)[: args.count]
    names = photos.take(indices % len(photos)).names
    labels = [f'{index}: {Path(name).name}' for index, name in zip(indices.tolist(), names, strict=True)]
    write_picture(args.out, draw_contact_sheet(maker.make(indices, args.epoch), labels))
    print(f'{len(indices)} pairs of {len(photos)} photographs ({photos.skipped}): {args.out}')
    return 0


main = partial(run_command, 'kp2d pairs', SUMMARY, add_arguments, run)


if __name__ == '__main__':
    raise SystemExit(main())
