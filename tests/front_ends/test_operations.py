"""The operations of served graphs: a new one that servers may lack is noticed here."""

import functools

import keras
import pytest
from cpp_server import text_libraries
from keras import layers, ops
from marks import crossed

from keras_prokt.export import export_saved_model
from keras_prokt.front_ends import ImageFrontEnd, TextFrontEnd, WordFrontEnd

pytestmark = pytest.mark.slow

tf = pytest.importorskip("tensorflow")

# What every SavedModel here has: the student, its outputs, and reading its weights.
OF_ALL = """
AddV2 AssignVariableOp BiasAdd Cast CheckNumerics Const DisableCopyOnRead EnsureShape Identity Less
MatMul Mean MergeV2Checkpoints NoOp Pack Placeholder ReadVariableOp RestoreV2 SaveV2 Select
ShardedFilename Softmax StatefulPartitionedCall StaticRegexFullMatch StridedSlice StringJoin TopKV2
VarHandleOp
"""
OF_TOKEN_IDS = "GatherV2"

# TensorFlow Text's, all that remain: without its library a server loads no model of texts.
# TensorFlow Serving links all of TensorFlow's own operations, and of TensorFlow Text what its
# target `ops_lib` names, among it `fast_wordpiece_tokenizer`, `normalize_ops`, `regex_split_ops`.
OF_TENSORFLOW_TEXT = "FastWordpieceTokenizeWithOffsets RegexSplitWithOffsets"
OF_TENSORFLOW_TEXT_UNCASED = "NormalizeUTF8"
OF_TEXT = """
All Assert ConcatV2 Cumsum Equal ExpandDims Fill Greater If LessEqual Max Maximum Minimum Mul
NotEqual OnesLike Prod RaggedGather RaggedTensorToTensor Range Reshape SelectV2 Shape Squeeze
StaticRegexReplace Sub Sum Transpose UnicodeTranscode Where
"""
OF_TEXT_UNCASED = "LowerBound UnicodeDecode UnicodeEncode"

OF_WORDS = "LogicalAnd ZerosLike"

OF_IMAGES = """
All Assert DecodeJpeg DecodePng DecodeRaw Equal ExtractJpegShape Greater LessEqual LogicalAnd Mul
Prod RealDiv Round ScaleAndTranslate SelectV2 Shape StatelessIf
StringLength StringToNumber StatelessWhile Sub Substr
TensorListFromTensor TensorListGetItem TensorListReserve TensorListSetItem TensorListStack
"""
OF_CROPPED_IMAGES = "FloorDiv Maximum Minimum"

PIECES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "film"]


def operations(path):
    """Names of all operations in a SavedModel, in its functions too."""
    from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

    model = SavedModel()
    model.ParseFromString((path / "saved_model.pb").read_bytes())
    [graph] = (one.graph_def for one in model.meta_graphs)
    functions = [node.op for function in graph.library.function for node in function.node_def]
    return {node.op for node in graph.node} | set(functions)


def assert_operations(path, *expected):
    received, wanted = operations(path), set(" ".join(expected).split())
    assert (received - wanted, wanted - received) == (set(), set())
    assert {name for name in received if not hasattr(tf.raw_ops, name)} <= linked_of_text()


@functools.cache
def linked_of_text():
    """The operations of the libraries of TensorFlow Text that tests of the server load."""
    return {name for path in text_libraries() for name in dir(tf.load_op_library(path))}


def text_student():
    names = ("token_ids", "padding_mask", "segment_ids")
    inputs = {name: keras.Input((None,), dtype="int32", name=name) for name in names}
    x = layers.Add()([layers.Embedding(6, 2)(tensor) for tensor in inputs.values()])
    return keras.Model(inputs, layers.Dense(2)(ops.mean(x, axis=1)))


@pytest.mark.parametrize(("pair", "lowercase"), crossed([False, True], [False, True]))
def test_of_texts(tmp_path, pair, lowercase):
    text = TextFrontEnd(PIECES, pair=pair, lowercase=lowercase)
    expected = [OF_ALL, OF_TOKEN_IDS, OF_TEXT, OF_TENSORFLOW_TEXT]
    if lowercase:
        expected += [OF_TEXT_UNCASED, OF_TENSORFLOW_TEXT_UNCASED]
    assert_operations(export_saved_model(text_student(), tmp_path, front_end=text), *expected)


def test_of_words(tmp_path):
    token_ids = keras.Input((None,), dtype="int32", name="token_ids")
    states = layers.Embedding(6, 2)(token_ids)
    states = states + ops.mean(states, axis=1, keepdims=True)
    student = keras.Model(token_ids, layers.Dense(2)(states))
    words = WordFrontEnd(PIECES, lowercase=False)
    path = export_saved_model(student, tmp_path, front_end=words, class_names=["A", "B"])
    assert_operations(path, OF_ALL, OF_TOKEN_IDS, OF_TEXT, OF_TENSORFLOW_TEXT, OF_WORDS)


@pytest.mark.parametrize("crop", [False, True])
def test_of_images(tmp_path, crop):
    images = ImageFrontEnd(
        (4, 6), mean=[0.5] * 3, standard_deviation=[0.25] * 3, crop_to_aspect_ratio=crop
    )
    image = keras.Input((4, 6, 3), name="image")
    student = keras.Model(image, layers.Dense(2)(layers.GlobalAveragePooling2D()(image)))
    expected = [OF_ALL, OF_IMAGES, OF_CROPPED_IMAGES if crop else ""]
    assert_operations(export_saved_model(student, tmp_path, front_end=images), *expected)
