"""Event files as TensorFlow reads them, which checks the checksums of all records."""

import math

import pytest

from keras_prokt.callbacks.event_files import EventFile, _checksum


def events_of(path):
    tensorflow = pytest.importorskip("tensorflow")
    for record in tensorflow.data.TFRecordDataset(str(path)):
        yield tensorflow.compat.v1.Event.FromString(record.numpy())


def test_tensorflow_reads_what_was_written(tmp_path):
    file = EventFile(tmp_path / "train")
    file.write({"loss": 0.1, "a tag of ümlauts": -2.0}, step=0)
    file.write({"loss": 1e300, "gap": math.nan}, step=300)
    [path] = (tmp_path / "train").iterdir()
    first, *others = events_of(path)
    assert first.file_version == "brain.Event:2"
    assert [event.step for event in others] == [0, 300]
    import tensorflow

    values = [
        {v.tag: float(tensorflow.make_ndarray(v.tensor)) for v in event.summary.value}
        for event in others
    ]
    assert values[0] == {"loss": pytest.approx(0.1), "a tag of ümlauts": -2.0}
    assert values[1]["loss"] == math.inf
    assert math.isnan(values[1]["gap"])
    assert all(0 < event.wall_time < 1e11 for event in (first, *others))
    metadata = others[0].summary.value[0].metadata
    assert metadata.plugin_data.plugin_name == "scalars"
    assert metadata.data_class == tensorflow.compat.v1.SummaryMetadata(data_class=1).data_class


def test_files_of_one_run_are_kept_apart(tmp_path):
    for step in range(3):
        EventFile(tmp_path).write({"loss": 1.0}, step=step)
    assert len(list(tmp_path.iterdir())) == 3


def test_checksum_is_the_masked_crc_32c():
    # CRC-32C of 32 zero bytes, RFC 3720, section B.4: 0x8a9136aa; the mask is TFRecord's.
    crc = 0x8A9136AA
    masked = ((crc >> 15 | crc << 17) + 0xA282EAD8) % 2**32
    assert _checksum(bytes(32)) == masked.to_bytes(4, "little")
