"""Word pieces as the sequences that BERT reads, in plain TensorFlow operations.

Every TensorFlow Serving knows those; TensorFlow Text's own trimmer is missing from some. This
module imports no Keras.
"""

from collections.abc import Sequence

from keras_prokt.typing import Tensor


def pack(
    columns: Sequence[Tensor], *, max_length: int, cls_id: int, sep_id: int, pad_id: int
) -> tuple[Tensor, Tensor]:
    """`[CLS] text [SEP]`, or `[CLS] first [SEP] second [SEP]`, padded to one length.

    Too long sequences lose pieces at the ends of their texts; of a pair the longer text gives way
    first, until both are equally long (the first keeps one more of an odd number). These are the
    ids of `keras_hub.layers.MultiSegmentPacker` and of TensorFlow Text's `RoundRobinTrimmer`.

    Args:
        columns: The ids of one text or of the two of a pair, ragged tensors `(batch, None)`.
        max_length: Length of the result, special pieces counted; at least 3, for pairs 5.
        cls_id: Id of [CLS].
        sep_id: Id of [SEP].
        pad_id: Id of [PAD].

    Returns:
        Token ids and segment ids (0 in the first text, 1 in the second, 0 in the padding), each
        `(batch, max_length)`, in the type of the columns.

    Example:

    >>> import tensorflow as tf
    >>> from keras_prokt.front_ends.packing import pack
    >>> pair = tf.ragged.constant([[5, 6, 7, 8]]), tf.ragged.constant([[9]])
    >>> token_ids, _ = pack(pair, max_length=7, cls_id=2, sep_id=3, pad_id=0)
    >>> token_ids.numpy().tolist()
    [[2, 5, 6, 7, 3, 9, 3]]
    """
    import tensorflow as tf

    room = max_length - 1 - len(columns)
    lengths = [column.row_lengths() for column in columns]
    if len(columns) == 1:
        kept = [tf.minimum(lengths[0], room)]
    else:
        first, second = lengths
        half = room // 2
        kept = [
            tf.minimum(first, tf.maximum(room - second, room - half)),
            tf.minimum(second, tf.maximum(room - first, half)),
        ]
    sep = tf.fill((columns[0].nrows(), 1), tf.cast(sep_id, columns[0].dtype))
    segments = []
    for column, count in zip(columns, kept, strict=True):
        dense = column.to_tensor(shape=(None, room))
        trimmed = tf.RaggedTensor.from_tensor(dense, lengths=count)
        segments.append(tf.concat([trimmed, sep], axis=1))
    cls = tf.fill(tf.shape(sep), tf.cast(cls_id, sep.dtype))
    segments[0] = tf.concat([cls, segments[0]], axis=1)
    numbers = [tf.ones_like(segment) * number for number, segment in enumerate(segments)]
    shape = (None, max_length)
    return (
        tf.concat(segments, axis=1).to_tensor(pad_id, shape=shape),
        tf.concat(numbers, axis=1).to_tensor(0, shape=shape),
    )
