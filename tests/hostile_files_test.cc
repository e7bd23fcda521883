// SPDX-License-Identifier: Apache-2.0
// Model files that lie, through the built program.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <fstream>

#include "files_fixture.h"
#include "io/gguf.h"

namespace forge {
namespace {

using ::testing::HasSubstr;

/// Files made to mislead: an error with the file and what was expected, soon and without filling memory.
class HostileFiles : public Files {
 protected:
  HostileFiles() {
    Make("in", Config("llama"));
    Run({"convert", Path("in"), Path("in.gguf"), "--type", "q8_0"});
  }

  void Expect(const std::vector<std::string>& arguments, const std::string& file,
              const std::string& part) const {
    const testing::Outcome outcome = Run(arguments);
    const std::string where = arguments[0] + " " + file + ": " + part + "\n" + outcome.err;
    EXPECT_EQ(outcome.code, 3) << where;
    EXPECT_THAT(outcome.err, HasSubstr(file)) << where;
    EXPECT_THAT(outcome.err, HasSubstr(part)) << where;
    EXPECT_LT(outcome.cpu_seconds, 1) << where;
    EXPECT_LT(outcome.peak_bytes, 200'000'000u) << where;
  }
  // The bytes are given away: what this process holds when it forks counts as memory of the child.
  void ExpectSafetensors(std::string bytes, const std::string& part) const {
    Write("in/model.safetensors", std::move(bytes));
    for (const char* command : {"inspect", "convert", "generate"})
      Expect(Arguments(command, "in"), "in", part);
  }
  void ExpectGguf(std::string bytes, const std::string& part, std::uint64_t zeros_after = 0) const {
    const std::uint64_t size = bytes.size() + zeros_after;
    Write("in.gguf", std::move(bytes));
    fs::resize_file(folder_ / "in.gguf", size);
    for (const char* command : {"inspect", "convert", "generate"})
      Expect(Arguments(command, "in.gguf"), "in.gguf", part);
  }
  std::vector<std::string> Arguments(const std::string& command, const std::string& model) const {
    if (command == "convert") return {command, Path(model), Path("x.gguf")};
    if (command == "generate") return {command, Path(model), "--prompt", "a"};
    return {command, Path(model)};
  }
  void Write(const std::string& name, std::string bytes) const {
    std::ofstream(folder_ / name, std::ios::binary) << bytes;
  }
  static std::string Number(std::uint64_t value) { return std::string(reinterpret_cast<char*>(&value), 8); }
  static std::string Header(std::string json) { return std::move(json.insert(0, Number(json.size()))); }
};

constexpr std::uint64_t kHuge = std::uint64_t{1} << 60;

TEST_F(HostileFiles, SafetensorsThatLie) {
  ExpectSafetensors("", "the file has 0");
  ExpectSafetensors(Number(kHuge) + "{}", "claims a header of 1152921504606846976 bytes, the file has 2");
  ExpectSafetensors(Header(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})"),
                    "beyond the 0 bytes of data");
  ExpectSafetensors(Header(R"({"a":{"dtype":"F32","shape":[1152921504606846976,16],"data_offsets":[0,8]}})"),
                    "the product of its shape is too large");
  const std::string one = R"({"dtype":"U8","shape":[2],"data_offsets":)";
  ExpectSafetensors(Header(R"({"a":)" + one + R"([0,2]},"b":)" + one + "[1,3]}}") + "abc", "a and b overlap");
  ExpectSafetensors(Header(std::string(30 << 20, '[')), "must be a JSON object");
  std::string bomb = R"({"__metadata__":{"k":"")";
  while (bomb.size() < (30u << 20)) bomb += ",\"" + std::to_string(bomb.size()) + "\":\"\"";
  bomb += "}}";
  ExpectSafetensors(Header(std::move(bomb)), "more than 10000 entries");
  std::string tensors = R"({"t":{"dtype":"F32","shape":[],"data_offsets":[0,4]})";
  while (tensors.size() < (31u << 20))
    tensors +=
        ",\"" + std::to_string(tensors.size()) + R"(":{"dtype":"F32","shape":[0],"data_offsets":[4,4]})";
  tensors += "}";
  ExpectSafetensors(Header(std::move(tensors)), "more than 131072 tensors");
}

TEST_F(HostileFiles, ShardsAndConfigsThatLie) {
  fs::rename(folder_ / "in/model.safetensors", folder_ / "in/one.safetensors");
  const auto with_index = [&](const std::string& text, const std::string& part) {
    Write("in/model.safetensors.index.json", text);
    for (const char* command : {"inspect", "convert"})
      Expect(Arguments(command, "in"), "model.safetensors.index.json", part);
  };
  with_index(std::string(1 << 20, '['), "values lie more than 128 deep");
  with_index("{\"weight_map\": {\"a\": \"two.safetensors\"}}", "two.safetensors, which is not there");
  with_index("{\"weight_map\": [" + std::string(15 << 20, ',') + "]}", "more than 400000 values");
  with_index("{\"weight_map\": 3, \"x\": \"" + std::string(17 << 20, 'x') + "\"}", "at most 16777216");
  const auto with_config = [&](const std::string& text, const std::string& part) {
    Write("in/config.json", text);
    for (const char* command : {"inspect", "convert", "generate"})
      Expect(Arguments(command, "in"), "config.json", part);
  };
  with_config(std::string(1 << 20, '['), "deep");
  with_config("[" + std::string(3 << 20, ',') + "]", "more than 100000 values");
  with_config(std::string(5 << 20, ' '), "at most 4194304");
  with_config(R"({"model_type":"llama","hidden_size":1152921504606846976})", "hidden_size");
  with_config(R"({"model_type":"gpt2"})", "choose one of llama");
}

TEST_F(HostileFiles, GgufFilesThatLie) {
  const std::string whole = io::ReadFile(folder_ / "in.gguf"), start("GGUF\3\0\0\0", 8);
  ExpectGguf("GGML" + whole.substr(4), "it does not begin with GGUF");
  ExpectGguf(std::string("GGUF\1\0\0\0", 8) + whole.substr(8), "version 1");
  ExpectGguf(start + Number(kHuge) + Number(0), "1152921504606846976 tensors");
  ExpectGguf(start + Number(0) + Number(kHuge), "1152921504606846976 keys");
  ExpectGguf(start + Number(0) + Number(1) + Number(kHuge), "a key takes 1152921504606846976 bytes");
  const std::string key = start + Number(0) + Number(1) + Number(1) + "k";
  const std::string array("\x09\0\0\0", 4), texts("\x08\0\0\0", 4), bytes("\0\0\0\0", 4);
  ExpectGguf(key + array + texts + Number(kHuge), "an array of 1152921504606846976 elements");
  ExpectGguf(key + array + array + Number(1), "an array of arrays");
  const std::uint64_t many = 7 << 20;
  ExpectGguf(key + array + texts + Number(many), "more than 2097152 texts", 8 * many);
  ExpectGguf(key + array + bytes + Number(100 << 20), "bytes of metadata", 100 << 20);
  std::string overlapping = whole;
  const std::size_t name = whole.find("blk.0.attn_k.weight");
  const std::size_t offset = name + 19 + 4 + 16 + 4;
  for (int i = 0; i < 8; ++i) overlapping[offset + i] = 0;
  ExpectGguf(overlapping, "overlap at offset");
  std::string wide = whole;
  for (int i = 0; i < 16; ++i) wide[name + 19 + 4 + i] = i % 8 == 7 ? 0x10 : 0;  // 2^60 twice
  ExpectGguf(wide, "the shape of tensor blk.0.attn_k.weight is too large");
}

TEST_F(HostileFiles, NumbersThatAreNone) {
  model::ModelWeights weights = model::testing::RandomWeights(Config("llama"));
  std::string safetensors = io::ReadFile(folder_ / "in/model.safetensors");
  const std::uint32_t nan = 0x7fc00000;
  std::memcpy(safetensors.data() + safetensors.size() - 4, &nan,
              4);  // of model.norm.weight, the last by name
  Write("in/model.safetensors", safetensors);
  for (const char* command : {"convert", "generate"})
    Expect(Arguments(command, "in"), "in", "tensor model.norm.weight holds nan at element 63");
  std::string gguf = io::ReadFile(folder_ / "in.gguf");
  const io::GgufFile file(folder_ / "in.gguf");
  const auto block = gguf.find(
      std::string(reinterpret_cast<const char*>(file.Find("blk.1.ffn_up.weight")->bytes.data()), 64));
  const std::uint16_t infinity = 0x7c00;  // as the scale of a block
  std::memcpy(gguf.data() + block + 34, &infinity, 2);
  Write("in.gguf", gguf);
  for (const char* command : {"convert", "generate"})
    Expect(Arguments(command, "in.gguf"), "in.gguf", "tensor model.layers.1.mlp.up_proj.weight holds");
}

TEST_F(HostileFiles, FilesCutAtEveryThousandthByte) {
  const std::string safetensors = io::ReadFile(folder_ / "in/model.safetensors"),
                    gguf = io::ReadFile(folder_ / "in.gguf");
  for (std::size_t length = 0; length < safetensors.size(); length += 1000) {
    Write("in/model.safetensors", safetensors.substr(0, length));
    Expect(Arguments("convert", "in"), "model.safetensors", "why: ");
  }
  for (std::size_t length = 0; length < gguf.size(); length += 1000) {
    Write("in.gguf", gguf.substr(0, length));
    Expect(Arguments("convert", "in.gguf"), "in.gguf", "why: ");
  }
}

}  // namespace
}  // namespace forge
