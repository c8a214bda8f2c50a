// TensorFlow Serving's REST API over TensorFlow's own loader, without Python: for tests alone.
//
//   server PORT_FILE NAME DIRECTORY KEEP [OPERATION_LIBRARY...]
//
// Serves the KEEP highest versions in DIRECTORY at 127.0.0.1 and looks for new ones all the time.
// Requests and answers are JSON as TensorFlow Serving documents it, or, as
// application/x-protobuf, its own messages PredictRequest and PredictResponse. A version is warmed
// up with assets.extra/tf_serving_warmup_requests before it answers.

#include <dirent.h>
#include <httplib.h>
#include <malloc.h>
#include <sys/stat.h>
#include <tensorflow/c/c_api.h>

#include <atomic>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <functional>
#include <limits>
#include <map>
#include <memory>
#include <mutex>
#include <nlohmann/json.hpp>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

using nlohmann::json;

// An error of the caller, with its HTTP status.
struct Refused : std::runtime_error {
  int status;
  Refused(const std::string& message, int status = 400)
      : std::runtime_error(message), status(status) {}
};

// ---- Protocol buffers on the wire.

struct Field {
  int number;
  uint64_t value = 0;  // of numbers
  std::string bytes;   // of everything that has a length
};

uint64_t ReadVarint(const std::string& content, size_t& at) {
  uint64_t value = 0;
  for (int shift = 0; shift < 64; shift += 7) {
    if (at >= content.size()) throw Refused("Message ends within a number");
    uint8_t byte = content[at++];
    value |= uint64_t(byte & 127) << shift;
    if (byte < 128) return value;
  }
  throw Refused("Message with a number that is too long");
}

std::vector<Field> ReadFields(const std::string& content) {
  std::vector<Field> fields;
  for (size_t at = 0; at < content.size();) {
    uint64_t key = ReadVarint(content, at);
    Field field{int(key >> 3)};
    uint64_t length = 0;
    switch (key & 7) {
      case 0: field.value = ReadVarint(content, at); break;
      case 1: length = 8; break;
      case 2: length = ReadVarint(content, at); break;
      case 5: length = 4; break;
      default: throw Refused("Message of an unknown wire type");
    }
    if (length > content.size() - at) throw Refused("Message ends within a field");
    field.bytes = content.substr(at, length);
    at += length;
    fields.push_back(std::move(field));
  }
  return fields;
}

void WriteVarint(std::string& content, uint64_t value) {
  for (; value > 127; value >>= 7) content.push_back(char(value | 128));
  content.push_back(char(value));
}

void WriteBytes(std::string& content, int number, const std::string& bytes) {
  WriteVarint(content, uint64_t(number) << 3 | 2);
  WriteVarint(content, bytes.size());
  content += bytes;
}

void WriteNumber(std::string& content, int number, uint64_t value) {
  WriteVarint(content, uint64_t(number) << 3);
  WriteVarint(content, value);
}

// ---- Tensors.

struct Tensor {
  TF_DataType dtype;
  std::vector<int64_t> shape;
  std::string content;               // of numbers
  std::vector<std::string> strings;  // of TF_STRING

  int64_t Count() const {
    int64_t count = 1;
    for (int64_t size : shape) {
      if (size < 0 || (size && count > (int64_t(1) << 28) / size)) throw Refused("Shape too large");
      count *= size;
    }
    return count;
  }
};

constexpr size_t kMostDimensions = 254;  // more of them end the process

using TensorPtr = std::unique_ptr<TF_Tensor, void (*)(TF_Tensor*)>;

TensorPtr ToTensorFlow(const Tensor& tensor) {
  if (tensor.shape.size() > kMostDimensions) throw Refused("Shape of too many dimensions");
  size_t bytes = tensor.dtype == TF_STRING ? tensor.strings.size() * sizeof(TF_TString)
                                           : tensor.content.size();
  TensorPtr result(TF_AllocateTensor(tensor.dtype, tensor.shape.data(), int(tensor.shape.size()),
                                     bytes),
                   TF_DeleteTensor);
  if (tensor.dtype == TF_STRING) {
    auto* strings = static_cast<TF_TString*>(TF_TensorData(result.get()));
    for (size_t i = 0; i < tensor.strings.size(); ++i) {
      TF_TString_Init(&strings[i]);
      TF_TString_Copy(&strings[i], tensor.strings[i].data(), tensor.strings[i].size());
    }
  } else if (bytes) {
    std::memcpy(TF_TensorData(result.get()), tensor.content.data(), bytes);
  }
  return result;
}

Tensor FromTensorFlow(TF_Tensor* tensor) {
  Tensor result{TF_TensorType(tensor), {}, {}, {}};
  for (int i = 0; i < TF_NumDims(tensor); ++i) result.shape.push_back(TF_Dim(tensor, i));
  if (result.dtype == TF_STRING) {
    auto* strings = static_cast<TF_TString*>(TF_TensorData(tensor));
    for (int64_t i = 0; i < TF_TensorElementCount(tensor); ++i)
      result.strings.emplace_back(TF_TString_GetDataPointer(&strings[i]),
                                  TF_TString_GetSize(&strings[i]));
  } else if (TF_TensorByteSize(tensor)) {
    result.content.assign(static_cast<char*>(TF_TensorData(tensor)), TF_TensorByteSize(tensor));
  }
  return result;
}

template <class Value>
std::string Packed(const std::vector<Value>& values) {
  return std::string(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(Value));
}

// Numbers of a TensorProto that are not in `tensor_content`: the last one is repeated.
template <class Value>
std::string Repeated(const std::vector<Field>& fields, int number, int64_t count) {
  std::vector<Value> values;
  for (const Field& field : fields) {
    if (field.number != number) continue;
    constexpr bool fixed = std::is_floating_point<Value>::value;
    if (field.bytes.empty()) {
      values.push_back(Value(field.value));
    } else if (fixed) {
      for (size_t at = 0; at + sizeof(Value) <= field.bytes.size(); at += sizeof(Value)) {
        Value value;
        std::memcpy(&value, field.bytes.data() + at, sizeof(Value));
        values.push_back(value);
      }
    } else {
      for (size_t at = 0; at < field.bytes.size();)
        values.push_back(Value(ReadVarint(field.bytes, at)));
    }
  }
  if (int64_t(values.size()) > count) throw Refused("More values than the shape holds");
  values.resize(count, values.empty() ? Value(0) : values.back());
  return Packed(values);
}

Tensor ReadTensorProto(const std::string& content) {
  Tensor tensor{TF_FLOAT, {}, {}, {}};
  std::vector<Field> fields = ReadFields(content);
  for (const Field& field : fields) {
    if (field.number == 1) tensor.dtype = TF_DataType(field.value);
    if (field.number == 2)
      for (const Field& dimension : ReadFields(field.bytes)) {
        if (dimension.number != 2) continue;
        int64_t size = 0;
        for (const Field& part : ReadFields(dimension.bytes))
          if (part.number == 1) size = int64_t(part.value);
        tensor.shape.push_back(size);
      }
    if (field.number == 4) tensor.content = field.bytes;
    if (field.number == 8) tensor.strings.push_back(field.bytes);
  }
  int64_t count = tensor.Count();
  if (tensor.dtype == TF_STRING) {
    if (int64_t(tensor.strings.size()) != count) throw Refused("Strings do not fill the shape");
    return tensor;
  }
  size_t size = TF_DataTypeSize(tensor.dtype);
  if (!size) throw Refused("Tensor of an unknown type");
  if (tensor.content.empty() && count) {
    switch (tensor.dtype) {
      case TF_FLOAT: tensor.content = Repeated<float>(fields, 5, count); break;
      case TF_DOUBLE: tensor.content = Repeated<double>(fields, 6, count); break;
      case TF_INT32: tensor.content = Repeated<int32_t>(fields, 7, count); break;
      case TF_UINT8: tensor.content = Repeated<uint8_t>(fields, 7, count); break;
      case TF_INT64: tensor.content = Repeated<int64_t>(fields, 10, count); break;
      case TF_BOOL: tensor.content = Repeated<uint8_t>(fields, 11, count); break;
      default: throw Refused("Tensor of a type that this server does not read");
    }
  }
  if (tensor.content.size() != size * count) throw Refused("Content does not fill the shape");
  return tensor;
}

std::string WriteTensorProto(const Tensor& tensor) {
  std::string shape, content;
  for (int64_t size : tensor.shape) {
    std::string dimension;
    WriteNumber(dimension, 1, uint64_t(size));
    WriteBytes(shape, 2, dimension);
  }
  WriteNumber(content, 1, tensor.dtype);
  WriteBytes(content, 2, shape);
  if (!tensor.content.empty()) WriteBytes(content, 4, tensor.content);
  for (const std::string& value : tensor.strings) WriteBytes(content, 8, value);
  return content;
}

// ---- JSON.

std::string FromBase64(const std::string& text) {
  static const std::string alphabet =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string bytes;
  uint32_t bits = 0;
  int count = 0;
  size_t end = text.size();
  while (end && text.size() - end < 2 && text[end - 1] == '=') --end;
  if (end % 4 == 1 || (end < text.size() && text.size() % 4)) throw Refused("Unable to base64 decode");
  for (char letter : text.substr(0, end)) {
    size_t value = alphabet.find(letter);
    if (value == std::string::npos) throw Refused("Unable to base64 decode");
    bits = bits << 6 | uint32_t(value);
    if ((count += 6) >= 8) bytes.push_back(char(bits >> (count -= 8) & 255));
  }
  return bytes;
}

// JSON with the bare words NaN, Infinity and -Infinity, which TensorFlow Serving reads too.
const std::string kBare = "\x01";

json Parse(const std::string& body) {
  std::string text;
  bool within = false;
  size_t depth = 0;
  for (size_t at = 0; at < body.size(); ++at) {
    if (within) {
      if (body[at] == '\\' && at + 1 < body.size()) text.push_back(body[at++]);
      else if (body[at] == '"') within = false;
    } else if (body[at] == '"') {
      within = true;
    } else {
      depth += body[at] == '[' || body[at] == '{';
      depth -= depth && (body[at] == ']' || body[at] == '}');
      // Lists are copied and read by functions that call themselves.
      if (depth > 2 * kMostDimensions) throw Refused("JSON Parse error: nested too deeply");
      bool found = false;
      for (const char* word : {"-Infinity", "Infinity", "NaN"}) {
        if (body.compare(at, std::strlen(word), word)) continue;
        text += "\"\\u0001" + std::string(word) + "\"";
        at += std::strlen(word) - 1;
        found = true;
        break;
      }
      if (found) continue;
    }
    text.push_back(body[at]);
  }
  try {
    return json::parse(text);
  } catch (const json::exception& error) {
    throw Refused(std::string("JSON Parse error: ") + error.what());
  }
}

bool IsBytes(const json& value) { return value.is_object() && value.size() == 1 && value.count("b64"); }

template <class Value>
Value NumberOf(const json& value) {
  if (std::is_floating_point<Value>::value && value.is_string()) {
    const std::string text = value.get<std::string>();
    if (text == kBare + "NaN") return std::numeric_limits<Value>::quiet_NaN();
    if (text == kBare + "Infinity") return std::numeric_limits<Value>::infinity();
    if (text == kBare + "-Infinity") return -std::numeric_limits<Value>::infinity();
  }
  bool fits = value.is_number();
  if (!std::is_floating_point<Value>::value)
    fits = value.is_number_integer() && value.get<int64_t>() >= int64_t(std::numeric_limits<Value>::lowest()) &&
           value.get<int64_t>() <= int64_t(std::numeric_limits<Value>::max());
  if (!fits) throw Refused("JSON Value: " + value.dump(-1, ' ', true, json::error_handler_t::replace).substr(0, 80) + " is not of the expected type");
  return value.get<Value>();
}

template <class Value>
void Append(const json& value, std::string& content) {
  Value number = NumberOf<Value>(value);
  content.append(reinterpret_cast<const char*>(&number), sizeof(number));
}

void Fill(const json& value, size_t depth, Tensor& tensor) {
  if (value.is_array()) {
    if (depth >= tensor.shape.size() || int64_t(value.size()) != tensor.shape[depth])
      throw Refused("Encountered list of another size at dimension " + std::to_string(depth));
    for (const json& one : value) Fill(one, depth + 1, tensor);
    return;
  }
  if (depth != tensor.shape.size()) throw Refused("Encountered a value where a list was expected");
  switch (tensor.dtype) {
    case TF_STRING:
      if (IsBytes(value) && value["b64"].is_string()) tensor.strings.push_back(FromBase64(value["b64"]));
      else if (value.is_string()) tensor.strings.push_back(value.get<std::string>());
      else throw Refused("JSON Value is not a string");
      break;
    case TF_FLOAT: Append<float>(value, tensor.content); break;
    case TF_DOUBLE: Append<double>(value, tensor.content); break;
    case TF_INT32: Append<int32_t>(value, tensor.content); break;
    case TF_INT64: Append<int64_t>(value, tensor.content); break;
    case TF_UINT8: Append<uint8_t>(value, tensor.content); break;
    case TF_BOOL:
      if (!value.is_boolean()) throw Refused("JSON Value is not a boolean");
      tensor.content.push_back(char(value.get<bool>()));
      break;
    default: throw Refused("Input of a type that this server does not read");
  }
}

Tensor ReadJson(const json& value, TF_DataType dtype) {
  Tensor tensor{dtype, {}, {}, {}};
  for (const json* one = &value; one->is_array(); one = &one->front()) {
    tensor.shape.push_back(int64_t(one->size()));
    if (one->empty()) break;
  }
  Fill(value, 0, tensor);
  return tensor;
}

template <class Value>
json Numbers(const Tensor& tensor, int64_t at) {
  Value value;
  std::memcpy(&value, tensor.content.data() + at * sizeof(Value), sizeof(Value));
  return value;
}

json ValueAt(const Tensor& tensor, int64_t at) {
  switch (tensor.dtype) {
    case TF_STRING: return tensor.strings[at];
    case TF_FLOAT: return Numbers<float>(tensor, at);
    case TF_DOUBLE: return Numbers<double>(tensor, at);
    case TF_INT32: return Numbers<int32_t>(tensor, at);
    case TF_INT64: return Numbers<int64_t>(tensor, at);
    case TF_BOOL: return bool(tensor.content[at]);
    default: throw Refused("Output of a type that this server does not write", 500);
  }
}

json WriteJson(const Tensor& tensor, size_t depth, int64_t& at) {
  if (depth == tensor.shape.size()) return ValueAt(tensor, at++);
  json list = json::array();
  for (int64_t i = 0; i < tensor.shape[depth]; ++i)
    list.push_back(WriteJson(tensor, depth + 1, at));
  return list;
}

json WriteJson(const Tensor& tensor) {
  int64_t at = 0;
  return WriteJson(tensor, 0, at);
}

// ---- Models.

struct Info {
  std::string tensor;
  TF_DataType dtype = TF_FLOAT;
  json shape = json::array();
};

struct Signature {
  std::map<std::string, Info> inputs, outputs;
  std::string method;
};

using Tensors = std::map<std::string, Tensor>;

std::map<std::string, std::string> ReadMap(const std::vector<Field>& fields, int number) {
  std::map<std::string, std::string> result;
  for (const Field& field : fields) {
    if (field.number != number) continue;
    std::string key, value;
    for (const Field& part : ReadFields(field.bytes)) (part.number == 1 ? key : value) = part.bytes;
    result[key] = value;
  }
  return result;
}

Info ReadInfo(const std::string& content) {
  Info info;
  for (const Field& field : ReadFields(content)) {
    if (field.number == 1) info.tensor = field.bytes;
    if (field.number == 2) info.dtype = TF_DataType(field.value);
    if (field.number == 3)
      for (const Field& dimension : ReadFields(field.bytes)) {
        if (dimension.number != 2) continue;
        int64_t size = 0;
        for (const Field& part : ReadFields(dimension.bytes))
          if (part.number == 1) size = int64_t(part.value);
        info.shape.push_back(size);
      }
  }
  return info;
}

class Status {
 public:
  Status() : status_(TF_NewStatus()) {}
  ~Status() { TF_DeleteStatus(status_); }
  TF_Status* get() { return status_; }
  void Check() {
    if (TF_GetCode(status_) == TF_OK) return;
    bool callers = TF_GetCode(status_) == TF_INVALID_ARGUMENT || TF_GetCode(status_) == TF_OUT_OF_RANGE;
    throw Refused(TF_Message(status_), callers ? 400 : 500);
  }

 private:
  TF_Status* status_;
};

struct Request {
  std::string signature;
  Tensors inputs;
};

Request ReadRequest(const std::string& content) {
  std::vector<Field> fields = ReadFields(content);
  Request request{"serving_default", {}};
  for (const Field& field : fields)
    if (field.number == 1)
      for (const Field& part : ReadFields(field.bytes))
        if (part.number == 3 && !part.bytes.empty()) request.signature = part.bytes;
  for (auto& [name, value] : ReadMap(fields, 2)) request.inputs[name] = ReadTensorProto(value);
  return request;
}

class Model {
 public:
  explicit Model(const std::string& path) : graph_(TF_NewGraph()) {
    Status status;
    TF_SessionOptions* options = TF_NewSessionOptions();
    TF_Buffer* meta = TF_NewBuffer();
    const char* tags[] = {"serve"};
    session_ = TF_LoadSessionFromSavedModel(options, nullptr, path.c_str(), tags, 1, graph_, meta,
                                            status.get());
    std::string content(static_cast<const char*>(meta->data), meta->length);
    TF_DeleteBuffer(meta);
    TF_DeleteSessionOptions(options);
    status.Check();
    for (auto& [name, value] : ReadMap(ReadFields(content), 5)) {
      if (name == "__saved_model_init_op") continue;
      std::vector<Field> fields = ReadFields(value);
      Signature& signature = signatures[name];
      for (auto& [key, info] : ReadMap(fields, 1)) signature.inputs[key] = ReadInfo(info);
      for (auto& [key, info] : ReadMap(fields, 2)) signature.outputs[key] = ReadInfo(info);
      for (const Field& field : fields)
        if (field.number == 3) signature.method = field.bytes;
    }
    WarmUp(path + "/assets.extra/tf_serving_warmup_requests");
  }

  ~Model() {
    Status status;
    if (session_) TF_CloseSession(session_, status.get());
    if (session_) TF_DeleteSession(session_, status.get());
    TF_DeleteGraph(graph_);
  }

  const Signature& At(const std::string& name) const {
    auto found = signatures.find(name);
    if (found == signatures.end())
      throw Refused("Serving signature name: \"" + name + "\" not found in signature def");
    return found->second;
  }

  Tensors Predict(const Request& request) {
    const Signature& signature = At(request.signature);
    std::vector<TF_Output> feeds, fetches;
    std::vector<TensorPtr> owned;
    std::vector<TF_Tensor*> values;
    if (request.inputs.size() != signature.inputs.size())
      throw Refused("input size does not match signature: " + std::to_string(request.inputs.size()) +
                    " against " + std::to_string(signature.inputs.size()));
    for (auto& [name, tensor] : request.inputs) {
      auto found = signature.inputs.find(name);
      if (found == signature.inputs.end())
        throw Refused("input tensor alias not found in signature: " + name);
      feeds.push_back(Place(found->second.tensor));
      owned.push_back(ToTensorFlow(tensor));
      values.push_back(owned.back().get());
    }
    for (auto& [name, info] : signature.outputs) fetches.push_back(Place(info.tensor));
    std::vector<TF_Tensor*> results(fetches.size(), nullptr);
    Status status;
    TF_SessionRun(session_, nullptr, feeds.data(), values.data(), int(feeds.size()), fetches.data(),
                  results.data(), int(fetches.size()), nullptr, 0, nullptr, status.get());
    Tensors answers;
    size_t at = 0;
    for (auto& [name, info] : signature.outputs) {
      TF_Tensor* result = results[at++];
      if (!result) continue;
      answers[name] = FromTensorFlow(result);
      TF_DeleteTensor(result);
    }
    status.Check();
    return answers;
  }

  std::map<std::string, Signature> signatures;
  int warmed_up = 0;

 private:
  TF_Output Place(const std::string& tensor) {
    size_t colon = tensor.find(':');
    TF_Operation* operation = TF_GraphOperationByName(graph_, tensor.substr(0, colon).c_str());
    if (!operation) throw Refused("No operation " + tensor, 500);
    return {operation, colon == std::string::npos ? 0 : std::stoi(tensor.substr(colon + 1))};
  }

  void WarmUp(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    uint64_t length;
    while (file.read(reinterpret_cast<char*>(&length), 8)) {
      std::string record(length, 0), checksum(4, 0);
      file.read(checksum.data(), 4);
      file.read(record.data(), std::streamsize(length));
      if (!file.read(checksum.data(), 4)) throw Refused("Warm-up file ends within a record", 500);
      for (const Field& log : ReadFields(record)) {
        if (log.number != 6) continue;
        for (const Field& part : ReadFields(log.bytes)) {
          if (part.number != 1) continue;
          Predict(ReadRequest(part.bytes));
          ++warmed_up;
        }
      }
    }
  }

  TF_Graph* graph_;
  TF_Session* session_ = nullptr;
};

// ---- Versions.

class Versions {
 public:
  Versions(std::string directory, size_t keep) : directory_(std::move(directory)), keep_(keep) {}

  void Look() {
    std::set<long> there;
    if (DIR* folder = opendir(directory_.c_str())) {
      while (dirent* entry = readdir(folder)) {
        std::string name = entry->d_name;
        if (name.size() < 19 && name.find_first_not_of("0123456789") == std::string::npos)
          there.insert(std::stol(name));
      }
      closedir(folder);
    }
    while (there.size() > keep_) there.erase(there.begin());
    for (long version : there) {
      {
        std::lock_guard<std::mutex> guard(lock_);
        if (models_.count(version) || errors_.count(version)) continue;
      }
      std::shared_ptr<Model> model;
      std::string error;
      try {
        model = std::make_shared<Model>(directory_ + "/" + std::to_string(version));
      } catch (const std::exception& problem) {
        error = problem.what();
      }
      std::lock_guard<std::mutex> guard(lock_);
      if (model) models_[version] = model, ++loaded;
      else errors_[version] = error;
    }
    std::vector<std::shared_ptr<Model>> ended;  // deleted when nobody waits for the lock
    std::lock_guard<std::mutex> guard(lock_);
    while (models_.size() > keep_) {
      ended.push_back(models_.begin()->second);
      models_.erase(models_.begin());
    }
  }

  std::pair<long, std::shared_ptr<Model>> Get(long version) {
    std::lock_guard<std::mutex> guard(lock_);
    if (version < 0 && !models_.empty()) return *models_.rbegin();
    auto found = models_.find(version);
    if (found == models_.end())
      throw Refused("Servable not found for request: " + std::to_string(version), 404);
    return *found;
  }

  json States() {
    std::lock_guard<std::mutex> guard(lock_);
    json states = json::array();
    auto add = [&](long version, const char* state, const char* code, const std::string& message) {
      states.push_back({{"version", std::to_string(version)},
                        {"state", state},
                        {"status", {{"error_code", code}, {"error_message", message}}}});
    };
    for (auto one = models_.rbegin(); one != models_.rend(); ++one)
      add(one->first, "AVAILABLE", "OK", "");
    for (auto& [version, error] : errors_) add(version, "END", "UNKNOWN", error);
    return states;
  }

  std::atomic<int> loaded{0};

 private:
  std::string directory_;
  size_t keep_;
  std::mutex lock_;
  std::map<long, std::shared_ptr<Model>> models_;
  std::map<long, std::string> errors_;
};

// ---- The REST API.

const char* TypeName(TF_DataType dtype) {
  switch (dtype) {
    case TF_FLOAT: return "DT_FLOAT";
    case TF_DOUBLE: return "DT_DOUBLE";
    case TF_INT32: return "DT_INT32";
    case TF_INT64: return "DT_INT64";
    case TF_UINT8: return "DT_UINT8";
    case TF_BOOL: return "DT_BOOL";
    case TF_STRING: return "DT_STRING";
    default: return "DT_INVALID";
  }
}

json Metadata(const std::map<std::string, Info>& infos) {
  json result = json::object();
  for (auto& [name, info] : infos) {
    json dimensions = json::array();
    for (auto& size : info.shape)
      dimensions.push_back({{"size", std::to_string(size.get<int64_t>())}, {"name", ""}});
    result[name] = {{"dtype", TypeName(info.dtype)},
                    {"tensor_shape", {{"dim", dimensions}, {"unknown_rank", false}}},
                    {"name", info.tensor}};
  }
  return result;
}

Request ReadRest(const json& body, const Model& model, bool& by_row) {
  if (!body.is_object()) throw Refused("JSON body must be an object");
  Request request{"serving_default", {}};
  if (body.count("signature_name")) {
    if (!body["signature_name"].is_string()) throw Refused("'signature_name' must be a string");
    request.signature = body["signature_name"];
  }
  const auto& wanted = model.At(request.signature).inputs;
  by_row = body.count("instances");
  if (by_row == bool(body.count("inputs")))
    throw Refused("Expected one of 'instances' and 'inputs' in the JSON body");
  json columns = json::object();
  if (by_row) {
    const json& rows = body["instances"];
    if (!rows.is_array() || rows.empty()) throw Refused("'instances' must be a list with values");
    for (const json& row : rows) {
      if (row.is_object() && !IsBytes(row)) {
        if (row.size() != wanted.size()) throw Refused("Row of other inputs than the signature's");
        for (auto& [name, value] : row.items()) columns[name].push_back(value);
      } else {
        if (wanted.size() != 1) throw Refused("Expected an object in each of 'instances'");
        columns[wanted.begin()->first].push_back(row);
      }
    }
    for (auto& [name, values] : columns.items())
      if (values.size() != rows.size()) throw Refused("Not all rows have the input " + name);
  } else {
    const json& inputs = body["inputs"];
    if (inputs.is_object() && !IsBytes(inputs)) {
      columns = inputs;
    } else {
      if (wanted.size() != 1) throw Refused("Expected an object in 'inputs'");
      columns[wanted.begin()->first] = inputs;
    }
  }
  for (auto& [name, values] : columns.items()) {
    auto found = wanted.find(name);
    if (found == wanted.end()) throw Refused("input tensor alias not found in signature: " + name);
    request.inputs[name] = ReadJson(values, found->second.dtype);
  }
  return request;
}

json AsRest(const Tensors& answers, bool by_row) {
  json columns = json::object();
  for (auto& [name, tensor] : answers) columns[name] = WriteJson(tensor);
  if (!by_row) return {{"outputs", columns.size() == 1 ? columns.begin().value() : columns}};
  json rows = json::array();
  size_t count = columns.begin().value().size();
  for (size_t i = 0; i < count; ++i) {
    json row = json::object();
    for (auto& [name, values] : columns.items()) {
      if (!values.is_array() || values.size() != count)
        throw Refused("Tensor name: " + name + " has inconsistent batch size");
      row[name] = values[i];
    }
    rows.push_back(row.size() == 1 ? row.begin().value() : row);
  }
  return {{"predictions", rows}};
}

int main(int count, char** arguments) {
  if (count < 5) {
    std::fprintf(stderr, "server PORT_FILE NAME DIRECTORY KEEP [OPERATION_LIBRARY...]\n");
    return 2;
  }
  // Else each thread's arena keeps its own share of what was freed: 20 to 60 MiB, that look like a leak.
  mallopt(M_ARENA_MAX, 1);
  for (int i = 5; i < count; ++i) {
    Status status;
    TF_LoadLibrary(arguments[i], status.get());
    if (TF_GetCode(status.get()) != TF_OK) {
      std::fprintf(stderr, "%s: %s\n", arguments[i], TF_Message(status.get()));
      return 1;
    }
  }
  Versions versions(arguments[3], std::stoul(arguments[4]));
  versions.Look();
  std::thread([&] {
    for (;;) {
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
      versions.Look();
    }
  }).detach();

  httplib::Server server;
  auto answer = [](httplib::Response& response, const std::function<void()>& work) {
    json error;
    try {
      return work();
    } catch (const Refused& problem) {
      response.status = problem.status;
      error = problem.what();
    } catch (const std::exception& problem) {
      response.status = 500;
      error = problem.what();
    }
    response.set_content(json{{"error", error}}.dump(-1, ' ', false, json::error_handler_t::replace),
                         "application/json");
  };
  auto send = [](httplib::Response& response, const json& value) {
    response.set_content(value.dump(-1, ' ', false, json::error_handler_t::replace),
                         "application/json");
  };
  const std::string base = std::string("/v1/models/") + arguments[2];
  const std::string place = base + "(?:/versions/([0-9]{1,18}))?";
  auto version_of = [](const httplib::Request& request) {
    return request.matches[1].matched ? std::stol(request.matches[1]) : -1L;
  };
  server.Get(place, [&](const httplib::Request& request, httplib::Response& response) {
    answer(response, [&] {
      json states = json::array();
      for (json& state : versions.States())
        if (version_of(request) < 0 || state["version"] == std::to_string(version_of(request)))
          states.push_back(state);
      if (states.empty()) throw Refused("Could not find any versions of the model", 404);
      send(response, {{"model_version_status", states}});
    });
  });
  server.Get(place + "/metadata", [&](const httplib::Request& request, httplib::Response& response) {
    answer(response, [&] {
      auto [version, model] = versions.Get(version_of(request));
      json signatures = json::object();
      for (auto& [name, one] : model->signatures)
        signatures[name] = {{"inputs", Metadata(one.inputs)},
                            {"outputs", Metadata(one.outputs)},
                            {"method_name", one.method}};
      send(response, {{"model_spec", {{"name", arguments[2]},
                                      {"signature_name", ""},
                                      {"version", std::to_string(version)}}},
                      {"metadata", {{"signature_def", {{"signature_def", signatures}}}}}});
    });
  });
  server.Post(place + ":predict", [&](const httplib::Request& request, httplib::Response& response) {
    answer(response, [&] {
      auto [version, model] = versions.Get(version_of(request));
      if (request.get_header_value("Content-Type") == "application/x-protobuf") {
        std::string content;
        for (auto& [name, tensor] : model->Predict(ReadRequest(request.body))) {
          std::string entry;
          WriteBytes(entry, 1, name);
          WriteBytes(entry, 2, WriteTensorProto(tensor));
          WriteBytes(content, 1, entry);
        }
        response.set_content(content, "application/x-protobuf");
        return;
      }
      bool by_row = false;
      Request read = ReadRest(Parse(request.body), *model, by_row);
      send(response, AsRest(model->Predict(read), by_row));
    });
    // Else each thread keeps to itself what its largest request took, a hundred times its bytes.
    if (request.body.size() > 1 << 20) malloc_trim(0);
  });
  // What the tests ask beside: how many versions were loaded, and how many requests warmed up.
  server.Get("/test", [&](const httplib::Request&, httplib::Response& response) {
    answer(response, [&] {
      auto [version, model] = versions.Get(-1);
      send(response, {{"loaded", versions.loaded.load()},
                      {"version", version},
                      {"warmed_up", model->warmed_up}});
    });
  });
  // Each open connection has a thread until it has been idle for so long: a client that computes
  // between two requests finds it open. By default the server closes it after 5 seconds.
  server.new_task_queue = [] { return new httplib::ThreadPool(64); };
  server.set_keep_alive_max_count(1000000);
  server.set_keep_alive_timeout(600);
  server.set_read_timeout(60);
  server.set_write_timeout(60);
  // Head and body are written apart: the second would wait until the client confirms the first.
  server.set_tcp_nodelay(true);
  int port = server.bind_to_any_port("127.0.0.1");
  std::string temporary = std::string(arguments[1]) + ".part";
  std::ofstream(temporary) << port;
  std::rename(temporary.c_str(), arguments[1]);
  server.listen_after_bind();
}
