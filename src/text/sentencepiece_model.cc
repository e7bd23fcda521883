// SPDX-License-Identifier: Apache-2.0
#include "text/sentencepiece_model.h"

#include <fmt/format.h>

#include <array>
#include <bit>
#include <cstring>

#include "base/error.h"
#include "io/atomic_file.h"
#include "io/json_file.h"
#include "text/tokenizer_config.h"
#include "text/utf8.h"

namespace forge::text {
namespace {

/// One field of a protobuf message (protobuf.dev, "Encoding"): its number, and its value as a number or as
/// the bytes of a text or message.
struct Field {
  std::uint32_t number = 0;
  std::uint64_t value = 0;  // of a varint, or the bits of a fixed number
  std::string_view bytes;   // of a length-delimited field
  std::size_t offset = 0;   // of `bytes` in the file
  bool is_bytes = false;

  bool as_bool() const { return value != 0; }
  int as_int() const { return static_cast<int>(static_cast<std::int64_t>(value)); }
  float as_float() const { return std::bit_cast<float>(static_cast<std::uint32_t>(value)); }
};

/// Reads the fields of a message one after the other.
class WireReader {
 public:
  /// `offset` of `bytes` in the file, for messages.
  WireReader(std::string_view bytes, std::size_t offset, const std::string& source)
      : bytes_(bytes), offset_(offset), source_(source) {}

  bool AtEnd() const { return position_ == bytes_.size(); }

  Field Next() {
    Field field;
    const std::uint64_t key = Varint();
    field.number = static_cast<std::uint32_t>(key >> 3);
    if (field.number == 0 || key >> 3 > (1u << 29) - 1)
      Fail("a field has the number " + std::to_string(key >> 3));
    switch (key & 7) {
      case 0:
        field.value = Varint();
        break;
      case 1:
        field.value = Fixed(8);
        break;
      case 2:
        TakeBytes(field);
        break;
      case 5:
        field.value = Fixed(4);
        break;
      default:
        Fail(fmt::format("field {} is of the wire type {}", field.number, key & 7));
    }
    return field;
  }

  [[noreturn]] void Fail(const std::string& why) const {
    throw Error({.kind = ErrorKind::kInput,
                 .what = "cannot read the SentencePiece model " + source_,
                 .why = fmt::format("at byte {}: {}", offset_ + position_, why),
                 .fix = "copy tokenizer.model again; the file is damaged or something else"});
  }

 private:
  std::uint64_t Varint() {
    std::uint64_t value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      if (AtEnd()) Fail("the file ends inside a number");
      const auto byte = static_cast<unsigned char>(bytes_[position_++]);
      value |= static_cast<std::uint64_t>(byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
    Fail("a number has more than ten bytes");
  }
  std::uint64_t Fixed(std::size_t size) {
    if (bytes_.size() - position_ < size) Fail("the file ends inside a number");
    std::uint64_t value = 0;
    std::memcpy(&value, bytes_.data() + position_, size);
    position_ += size;
    return value;
  }
  void TakeBytes(Field& field) {
    const std::uint64_t length = Varint();
    if (length > bytes_.size() - position_)
      Fail(fmt::format("field {} should have {} bytes; {} are left", field.number, length,
                       bytes_.size() - position_));
    field.is_bytes = true;
    field.offset = offset_ + position_;
    field.bytes = bytes_.substr(position_, length);
    position_ += length;
  }

  std::string_view bytes_;
  std::size_t offset_, position_ = 0;
  const std::string& source_;
};

class ModelReader {
 public:
  ModelReader(std::string_view bytes, const std::string& source) : file_(bytes, 0, source), source_(source) {
    data_.alphabet = Alphabet::kCharacters;
    data_.spaces.stage = SpaceSpelling::Stage::kNormalizer;
  }

  TokenizerData Read() {
    while (!file_.AtEnd()) {
      const Field field = file_.Next();
      if (field.number > 3) continue;
      if (!field.is_bytes) file_.Fail(fmt::format("field {} is no message", field.number));
      WireReader message(field.bytes, field.offset, source_);
      seen_[field.number] = true;
      if (field.number == 1) ReadPiece(message);
      if (field.number == 2) ReadTrainerSpec(message);
      if (field.number == 3) ReadNormalizerSpec(message);
    }
    Finish();
    return std::move(data_);
  }

 private:
  [[noreturn]] void Refuse(const std::string& what) const {
    throw Error({.kind = ErrorKind::kInput,
                 .what = "cannot use the SentencePiece model " + source_,
                 .why = what,
                 .fix = "choose a model with a SentencePiece BPE tokenizer, such as Llama 2's"});
  }

  void ReadPiece(WireReader& message) {
    std::string token;
    float score = 0;
    int type = 1;
    while (!message.AtEnd()) {
      const Field field = message.Next();
      if (field.number == 1) token = field.bytes;
      if (field.number == 2) score = field.as_float();
      if (field.number == 3) type = field.as_int();
    }
    const std::size_t id = data_.tokens.size();
    if (type < 1 || type > 6) message.Fail(fmt::format("piece {} is of type {}", id, type));
    if (token.empty()) message.Fail(fmt::format("piece {} has no text", id));
    data_.types.push_back(static_cast<TokenType>(type));
    if (data_.types.back() == TokenType::kUserDefined)
      data_.added.push_back({.id = static_cast<int>(id), .normalized = true});
    data_.tokens.push_back(std::move(token));
    data_.scores.push_back(score);
  }

  void ReadTrainerSpec(WireReader& message) {
    while (!message.AtEnd()) {
      const Field field = message.Next();
      if (field.number == 3) model_type_ = field.as_int();
      if (field.number == 24 && field.as_bool())
        Refuse("it puts spaces after words (treat_whitespace_as_suffix)");
      if (field.number == 35) data_.byte_fallback = field.as_bool();
      if (field.number == 40) unknown_ = field.as_int();
      if (field.number == 41) bos_ = field.as_int();
      if (field.number == 42) eos_ = field.as_int();
      if (field.number == 43) pad_ = field.as_int();
    }
  }

  void ReadNormalizerSpec(WireReader& message) {
    while (!message.AtEnd()) {
      const Field field = message.Next();
      if (field.number == 1) normalization_ = field.bytes;
      if (field.number == 2 && !field.bytes.empty())
        Refuse(fmt::format("its normalization \"{}\" is a precompiled table; forge knows identity",
                           normalization_));
      if (field.number == 3) dummy_prefix_ = field.as_bool();
      if (field.number == 4) collapse_ = field.as_bool();
      if (field.number == 5 && !field.as_bool())
        Refuse("it does not spell spaces as \"▁\" (escape_whitespaces)");
    }
  }

  void Finish() {
    constexpr const char* kTypes[] = {"unigram", "bpe", "word", "char"};
    if (data_.tokens.empty()) Refuse("it has no pieces");
    if (!seen_[2] || !seen_[3])
      Refuse(
          "it ends without trainer_spec and normalizer_spec, which say how it splits text: it may be cut "
          "off");
    if (model_type_ != 2)
      Refuse(fmt::format("its model is {}; forge knows bpe", model_type_ >= 1 && model_type_ <= 4
                                                                 ? kTypes[model_type_ - 1]
                                                                 : std::to_string(model_type_)));
    const auto id_of = [&](int id) {
      const bool there = id >= 0 && static_cast<std::size_t>(id) < data_.tokens.size();
      return there ? std::optional(id) : std::nullopt;
    };
    data_.unknown = id_of(unknown_);
    data_.bos = id_of(bos_);
    data_.eos = id_of(eos_);
    data_.pad = id_of(pad_);
    data_.fuse_unknown = true;
    data_.spaces.collapse = collapse_;
    if (dummy_prefix_) data_.spaces.prefix = SpaceSpelling::Prefix::kEachStretch;
    data_.spaces.strip_decoded = dummy_prefix_;
    if (data_.bos) data_.before = {*data_.bos};
  }

  WireReader file_;
  const std::string& source_;
  TokenizerData data_;
  std::array<bool, 4> seen_ = {};  // by field number: pieces, trainer_spec, normalizer_spec
  std::string normalization_;
  int model_type_ = 1, unknown_ = 0, bos_ = 1, eos_ = 2, pad_ = -1;
  bool dummy_prefix_ = true, collapse_ = true;
};

}  // namespace

TokenizerData ParseSentencePieceModel(std::string_view bytes, const std::string& source) {
  return ModelReader(bytes, source).Read();
}

TokenizerData ReadSentencePieceModel(const std::filesystem::path& path) {
  const std::string bytes = io::ReadFile(path);
  TokenizerData data = ParseSentencePieceModel(bytes, path.string());
  const std::filesystem::path config_path = path.parent_path() / "tokenizer_config.json";
  if (!std::filesystem::exists(config_path)) return data;
  const TokenizerData alone = data;
  ReadTokenizerConfig(path.parent_path(), data);
  if (!data.bos) data.bos = alone.bos;
  if (!data.eos) data.eos = alone.eos;
  if (!data.pad) data.pad = alone.pad;
  const io::Json config = io::ReadJsonFile(config_path);
  const auto flag = [&](const char* name, bool standard) {
    return config.is_object() && config.contains(name) && config[name].is_boolean() ? config[name].get<bool>()
                                                                                    : standard;
  };
  data.before.clear();
  if (data.bos && flag("add_bos_token", true)) data.before = {*data.bos};
  if (data.eos && flag("add_eos_token", false)) data.after = {*data.eos};
  return data;
}

}  // namespace forge::text
