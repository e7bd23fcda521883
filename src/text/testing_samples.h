// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fmt/format.h>

#include <bit>
#include <string>
#include <vector>

#include "io/json_file.h"
#include "text/tokenizer_data.h"

/// For tests only: small tokenizers of the SentencePiece kind, as the files that real ones come in.
namespace forge::text::testing {

/// A piece of a SentencePiece model; `type` is the number of the proto (1 normal, 2 unknown, 3 control, 4
/// user-defined, 5 unused, 6 byte).
struct Piece {
  std::string text;
  float score = 0;
  int type = 1;
};

inline std::string Varint(std::uint64_t value) {
  std::string bytes;
  for (; value >= 0x80; value >>= 7) bytes += static_cast<char>(value | 0x80);
  return bytes + static_cast<char>(value);
}
inline std::string NumberField(int field, std::uint64_t value) { return Varint(field << 3) + Varint(value); }
inline std::string BytesField(int field, const std::string& bytes) {
  return Varint(field << 3 | 2) + Varint(bytes.size()) + bytes;
}
inline std::string FloatField(int field, float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  std::string bytes = Varint(field << 3 | 5);
  for (int i = 0; i < 4; ++i) bytes += static_cast<char>(bits >> (8 * i));
  return bytes;
}

/// What can be set in the messages trainer_spec and normalizer_spec; the rest of a model file is its pieces.
struct ModelFields {
  std::string trainer = NumberField(3, 2) + NumberField(35, 1);  // BPE, byte_fallback
  std::string normalizer = BytesField(1, "identity") + NumberField(3, 1) + NumberField(4, 0);
};

inline std::string SentencePieceFile(const std::vector<Piece>& pieces, const ModelFields& fields = {}) {
  std::string file;
  for (const Piece& piece : pieces)
    file +=
        BytesField(1, BytesField(1, piece.text) + FloatField(2, piece.score) + NumberField(3, piece.type));
  return file + BytesField(2, fields.trainer) + BytesField(3, fields.normalizer);
}

/// <unk>, <s>, </s>, the 256 bytes, then `pieces` with falling scores: ids from 259 on.
inline std::vector<Piece> LlamaPieces(const std::vector<std::string>& pieces) {
  std::vector<Piece> all = {{"<unk>", 0, 2}, {"<s>", 0, 3}, {"</s>", 0, 3}};
  for (int byte = 0; byte < 256; ++byte) all.push_back({fmt::format("<0x{:02X}>", byte), 0, 6});
  float score = 0;
  for (const std::string& piece : pieces) all.push_back({piece, score--, 1});
  return all;
}

/// Merges to "▁the" and runs of "▁"; ids from 259 on: ▁t 259, he 260, ▁the 261, ▁▁ 262, ▁ 263, t 264, h 265,
/// e 266, a 267.
inline const std::vector<std::string> kThePieces = {"▁t", "he", "▁the", "▁▁", "▁", "t", "h", "e", "a"};

/// The same tokenizer as the tokenizer.json that transformers makes of Llama 2's.
inline io::Json LlamaJson() {
  io::Json vocabulary = io::Json::object(), added = io::Json::array();
  const std::vector<Piece> pieces = LlamaPieces(kThePieces);
  for (std::size_t id = 0; id < pieces.size(); ++id) vocabulary[pieces[id].text] = id;
  for (int id = 0; id < 3; ++id)
    added.push_back({{"id", id},
                     {"content", pieces[id].text},
                     {"single_word", false},
                     {"lstrip", false},
                     {"rstrip", false},
                     {"normalized", false},
                     {"special", true}});
  const auto replace = [](const char* from, const char* to) {
    return io::Json{{"type", "Replace"}, {"pattern", {{"String", from}}}, {"content", to}};
  };
  return {
      {"version", "1.0"},
      {"added_tokens", added},
      {"normalizer",
       {{"type", "Sequence"}, {"normalizers", {{{"type", "Prepend"}, {"prepend", "▁"}}, replace(" ", "▁")}}}},
      {"pre_tokenizer", nullptr},
      {"post_processor",
       {{"type", "TemplateProcessing"},
        {"single",
         {{{"SpecialToken", {{"id", "<s>"}, {"type_id", 0}}}},
          {{"Sequence", {{"id", "A"}, {"type_id", 0}}}}}},
        {"special_tokens", {{"<s>", {{"id", "<s>"}, {"ids", {1}}, {"tokens", {"<s>"}}}}}}}},
      {"decoder",
       {{"type", "Sequence"},
        {"decoders",
         {replace("▁", " "),
          {{"type", "ByteFallback"}},
          {{"type", "Fuse"}},
          {{"type", "Strip"}, {"content", " "}, {"start", 1}, {"stop", 0}}}}}},
      {"model",
       {{"type", "BPE"},
        {"unk_token", "<unk>"},
        {"fuse_unk", true},
        {"byte_fallback", true},
        {"vocab", vocabulary},
        {"merges", {"▁ t", "h e", "▁t he", "▁ ▁"}}}}};
}

}  // namespace forge::text::testing
