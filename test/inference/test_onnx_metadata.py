# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Tests of what an exported network says of itself.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from kp2d_ros.core.errors import DataError
from kp2d_ros.inference.onnx_file import OnnxMetadata, format_metadata, parse_metadata
from kp2d_ros.networks.config import PRESETS, NetworkConfig

METADATA = OnnxMetadata('v4:0f3a91c2', True, NetworkConfig(), 8, 240, 320)


@pytest.mark.parametrize('name', list(PRESETS))
def test_reads_back_what_was_written(name: Any) -> None:
    metadata = OnnxMetadata('x:1', False, PRESETS[name], 32)
    assert parse_metadata(format_metadata(metadata)) == metadata


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        ({'version': 2}, 'expected version 1'),
        ({'config': {'descriptor_dim': 0}}, 'descriptor_dim: found 0'),
        ({'config': {'depth': 3}}, 'unknown setting depth'),
        ({'config': 7}, 'expected keys and values'),
        ({'size_multiple': 0}, 'found size_multiple 0'),
        ({'size_multiple': True}, 'found size_multiple True'),
        ({'height': -8}, 'found height -8'),
        ({'width': 1e9}, 'found width'),
        ({'model_id': None}, 'found model_id None'),
    ],
)
def test_refuses_values_that_cannot_be(change: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        parse_metadata(json.dumps(json.loads(format_metadata(METADATA)) | change))


@pytest.mark.parametrize('text', ['', '[1]', 'null', '{"version": 1', '[' * 100_000])
def test_refuses_what_is_not_such_a_document(text: Any) -> None:
    with pytest.raises(DataError, match='metadata kp2d_ros'):
        parse_metadata(text)


def test_only_true_counts_as_trained() -> None:
    document = json.loads(format_metadata(METADATA)) | {'is_trained': 'yes'}
    assert not parse_metadata(json.dumps(document)).is_trained
