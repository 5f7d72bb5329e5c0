#include <charconv>
#include <set>
#include <string>
#include <utility>

#include "base/error.h"
#include "base/reader.h"
#include "format/checkpoint.h"
#include "format/file_kind.h"
#include "format/pickle.h"
#include "format/zip.h"

namespace st {
namespace {

constexpr size_t kMaxTensors = 65'536;
constexpr size_t kMaxDims = 8;
constexpr uint64_t kMaxVersion = 10;  // of the layout in the zip file; torch writes 3

void check(bool good, std::string_view otherwise) {
  if (!good) fail(ErrorCode::kInvalidData, "{}", otherwise);
}

// A saved state dict: the zip entries below one folder, and the pickle that refers to them.
class Archive {
 public:
  explicit Archive(std::shared_ptr<const ByteSource> source)
      : source_(std::move(source)), entries_(read_zip_directory(*source_)) {
    find_root();
    check_version();
    if (entries_.contains(root_ + "byteorder") && text_of("byteorder", 16) != "little") {
      fail(ErrorCode::kUnsupported, "byteorder: want little");
    }
    pickle_ = text_of("data.pkl", Pickle::kMaxBytes);
  }

  std::vector<CheckpointTensor> tensors() const {
    const Pickle pickle(pickle_);
    const PickleKind kind = pickle.root().kind;
    check(kind == PickleKind::kDict || kind == PickleKind::kOrderedDict,
          "want a state dict: names and tensors");
    const std::vector<PickleRef>& items = pickle.root().items;
    if (items.size() / 2 > kMaxTensors) {
      fail(ErrorCode::kInvalidData, "{} tensors > {}", items.size() / 2, kMaxTensors);
    }
    std::vector<CheckpointTensor> tensors;
    std::set<std::string_view> names;
    for (size_t i = 0; i < items.size(); i += 2) {
      const PickleValue& name = pickle[items[i]];
      check(name.kind == PickleKind::kString, "a key of the state dict is not a string");
      with_context(fmt::format("tensor '{}'", printable(name.text)), [&] {
        check(names.insert(name.text).second, "listed twice");
        tensors.push_back(tensor(pickle, pickle[items[i + 1]]));
        tensors.back().name = name.text;
      });
    }
    return tensors;
  }

 private:
  // The folder in the archive is named after the file that torch.save was given.
  void find_root() {
    for (const auto& [name, entry] : entries_) {
      const size_t slash = name.find('/');
      if (slash == name.npos || name.substr(slash + 1) != "data.pkl") continue;
      check(root_.empty(), "two entries named data.pkl");
      root_ = name.substr(0, slash + 1);
    }
    check(!root_.empty(), "not a torch file: no entry data.pkl");
  }

  // REQUIRES: the entry exists.
  std::string text_of(const std::string& name, uint64_t max_bytes) const {
    const ZipEntry& entry = entries_.at(root_ + name);
    if (entry.size > max_bytes) {
      fail(ErrorCode::kInvalidData, "{}: {} bytes > {}", name, entry.size, max_bytes);
    }
    std::string text(entry.size, '\0');
    source_->read_at(entry.offset, std::as_writable_bytes(std::span(text)));
    return text;
  }

  void check_version() const {
    check(entries_.contains(root_ + "version"), "not a torch file: no entry version");
    const std::string text = text_of("version", 16);
    uint64_t version = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), version);
    const std::string_view rest(end, text.data() + text.size());
    check(error == std::errc() && (rest.empty() || rest == "\n"), "version: want a number");
    if (version < 1 || version > kMaxVersion) {
      fail(ErrorCode::kUnsupported, "version {} unsupported (1-{})", version, kMaxVersion);
    }
  }

  static uint64_t integer(const PickleValue& value, std::string_view what) {
    if (value.kind != PickleKind::kInt || value.integer < 0) {
      fail(ErrorCode::kInvalidData, "{}: want a non-negative integer", what);
    }
    return static_cast<uint64_t>(value.integer);
  }

  static std::vector<uint64_t> integers(const Pickle& pickle, const PickleValue& tuple,
                                        std::string_view what) {
    if (tuple.kind != PickleKind::kTuple || tuple.items.size() > kMaxDims) {
      fail(ErrorCode::kInvalidData, "{}: want a tuple of at most {}", what, kMaxDims);
    }
    std::vector<uint64_t> values;
    values.reserve(tuple.items.size());
    for (const PickleRef item : tuple.items) values.push_back(integer(pickle[item], what));
    return values;
  }

  // _rebuild_tensor_v2(storage, offset, shape, strides, requires_grad, hooks). A seventh argument
  // would say that the values are to be negated or conjugated.
  CheckpointTensor tensor(const Pickle& pickle, const PickleValue& call) const {
    check(call.kind == PickleKind::kCall, "not a tensor");
    const std::vector<PickleRef>& arguments = pickle[call.items[0]].items;
    check(arguments.size() == 6, "want 6 arguments of _rebuild_tensor_v2");
    CheckpointTensor tensor;
    tensor.source = source_;
    const uint64_t available = storage(pickle, pickle[arguments[0]], tensor);
    const uint64_t offset = integer(pickle[arguments[1]], "offset");
    tensor.shape = integers(pickle, pickle[arguments[2]], "shape");
    const std::vector<uint64_t> strides = integers(pickle, pickle[arguments[3]], "strides");

    check(strides.size() == tensor.shape.size(), "as many strides as dimensions wanted");
    uint64_t count = 1;
    uint64_t stride = 1;  // as PyTorch computes it: dimensions of 0 count as 1
    for (size_t i = strides.size(); i-- > 0;) {
      const uint64_t n = tensor.shape[i];
      if (n != 1 && strides[i] != stride) {
        fail(ErrorCode::kUnsupported, "not contiguous: stride {} of dimension {}, want {}",
             strides[i], i, stride);
      }
      count = checked_mul(count, n, "shape");
      stride = checked_mul(stride, n == 0 ? 1 : n, "shape");
    }
    if (offset > available || count > available - offset) {
      fail(ErrorCode::kInvalidData, "{} values at {} past the end of the storage ({})", count,
           offset, available);
    }
    tensor.offset += offset * row_bytes(tensor.type, 1);
    tensor.bytes = count * row_bytes(tensor.type, 1);
    return tensor;
  }

  // The persistent id ('storage', type, key, location, count). Sets type and offset; returns count.
  uint64_t storage(const Pickle& pickle, const PickleValue& reference,
                   CheckpointTensor& tensor) const {
    check(reference.kind == PickleKind::kPersistent, "storage: want a persistent id");
    const PickleValue& id = pickle[reference.items[0]];
    check(id.kind == PickleKind::kTuple && id.items.size() == 5 &&
              pickle[id.items[0]].kind == PickleKind::kString &&
              pickle[id.items[0]].text == "storage" &&
              pickle[id.items[1]].kind == PickleKind::kGlobal &&
              pickle[id.items[2]].kind == PickleKind::kString,
          "persistent id: want ('storage', type, key, location, count)");
    const std::string_view type = pickle[id.items[1]].text;
    if (type == "torch.FloatStorage") {
      tensor.type = DType::kF32;
    } else if (type == "torch.HalfStorage") {
      tensor.type = DType::kF16;
    } else if (type == "torch.BFloat16Storage") {
      tensor.type = DType::kBF16;
    } else {
      fail(ErrorCode::kInvalidData, "'{}' is not a storage type", type);
    }
    const std::string key = fmt::format("data/{}", pickle[id.items[2]].text);
    const auto entry = entries_.find(root_ + key);
    if (entry == entries_.end()) {
      fail(ErrorCode::kInvalidData, "storage: no entry '{}'", printable(key));
    }
    const uint64_t count = integer(pickle[id.items[4]], "storage size");
    if (count > entry->second.size / row_bytes(tensor.type, 1)) {
      fail(ErrorCode::kInvalidData, "storage: entry '{}' has {} bytes, too few for {} values",
           printable(key), entry->second.size, count);
    }
    tensor.offset = entry->second.offset;
    return count;
  }

  std::shared_ptr<const ByteSource> source_;
  ZipDirectory entries_;
  std::string root_;  // "archive/"
  std::string pickle_;
};

}  // namespace

std::vector<CheckpointTensor> read_torch_pt(std::shared_ptr<const ByteSource> source) {
  Reader reader(*source);
  const auto first = reader.get<uint32_t>("torch file");
  if ((first & 0xff) == 0x80) {  // a bare pickle
    fail(ErrorCode::kUnsupported, "legacy (pre-1.6) torch file; re-save it");
  }
  if (first != kZipMagic) fail_wrong_kind("a torch file", *source);
  return Archive(std::move(source)).tensors();
}

}  // namespace st
