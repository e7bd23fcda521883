// SPDX-License-Identifier: Apache-2.0
// Model files through the built program: what it makes of them, and what that costs.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/philox.h"
#include "files_fixture.h"
#include "io/gguf.h"
#include "io/json_file.h"
#include "io/sha256.h"
#include "model/gguf_model.h"
#include "model/lora.h"

namespace forge {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

TEST_F(Files, ConvertEveryArchitectureThereAndBack) {
  for (const char* type : {"llama", "mistral", "qwen2", "qwen3"}) {
    const model::ModelWeights weights = Make("in", Config(type));
    ASSERT_EQ(Run({"convert", Path("in"), Path("a.gguf"), "--replace"}).code, 0) << type;
    ASSERT_EQ(Run({"convert", Path("a.gguf"), Path("back"), "--replace"}).code, 0) << type;
    EXPECT_EQ(model::LoadModelFolder(folder_ / "back").weights, weights) << type;
  }
}

TEST_F(Files, ConvertToEveryType) {
  Make("in", Config("llama"));
  std::uintmax_t last = 1u << 30;
  for (const char* type : {"f32", "bf16", "q8_0", "q5_1", "q5_0", "q4_0"}) {
    const testing::Outcome outcome =
        Run({"convert", Path("in"), Path("out.gguf"), "--replace", "--type", type});
    ASSERT_EQ(outcome.code, 0) << outcome.err;
    EXPECT_LT(fs::file_size(folder_ / "out.gguf"), last) << type;
    last = fs::file_size(folder_ / "out.gguf");
    const auto source = model::OpenGguf(folder_ / "out.gguf");
    std::string upper = type;
    for (char& c : upper) c = static_cast<char>(std::toupper(c));
    for (const model::TensorSpec& spec : model::ListTensors(source->config())) {
      const std::string expected = model::IsVector(spec)                      ? "F32"
                                   : model::IsLinear(spec) || upper[0] != 'Q' ? upper
                                                                              : "Q8_0";
      EXPECT_EQ(source->StoredType(spec), expected) << spec.name;
    }
  }
  const testing::Outcome ternary = Run({"convert", Path("in"), Path("t.gguf"), "--type", "q2_0"});
  EXPECT_EQ(ternary.code, 3);
  EXPECT_THAT(ternary.err, HasSubstr("forge compress"));
  EXPECT_FALSE(fs::exists(folder_ / "t.gguf"));
}

TEST_F(Files, PackedFilesRunAsTheModelTheyWereMadeOf) {
  Make("in", Config("llama"));
  ASSERT_EQ(Run({"convert", Path("in"), Path("q.gguf"), "--type", "q4_0"}).code, 0);
  const testing::Outcome packed = Run({"pack", Path("q.gguf"), Path("q.forge")});
  ASSERT_EQ(packed.code, 0) << packed.err;
  const auto text = [&](const std::string& command, const std::string& model, std::vector<std::string> rest) {
    rest.insert(rest.begin(), {command, Path(model)});
    const testing::Outcome outcome = Run(rest);
    EXPECT_EQ(outcome.code, 0) << command << ": " << outcome.err;
    return outcome.out;
  };
  const std::vector<std::string> prompt{"--prompt", "ab", "--max-new-tokens", "8"};
  std::vector<std::string> int8 = prompt;
  int8.insert(int8.end(), {"--activations", "int8"});
  EXPECT_EQ(text("generate", "q.forge", prompt), text("generate", "q.gguf", int8));
  EXPECT_EQ(text("generate", "q.forge", int8), text("generate", "q.gguf", int8));
  const std::vector<std::string> readme{"--file", Path("in/config.json"), "--context", "64"};
  std::vector<std::string> readme8 = readme, verified = readme;
  readme8.insert(readme8.end(), {"--activations", "int8"});
  verified.push_back("--verify");
  EXPECT_EQ(text("perplexity", "q.forge", verified), text("perplexity", "q.gguf", readme8));
  EXPECT_EQ(text("tokenize", "q.forge", {"--text", "ab c"}), text("tokenize", "q.gguf", {"--text", "ab c"}));
  EXPECT_THAT(text("inspect", "q.forge", {}), HasSubstr("(packed)"));
  const std::vector<std::string> short_test{"--prompt-tokens", "4", "--new-tokens", "4",
                                            "--repetitions",   "1"};
  const auto key_values = [&](const std::string& model, std::vector<std::string> rest) {
    rest.insert(rest.end(), {"--prompt-tokens", "0", "--new-tokens", "0", "--json"});
    return io::Json::parse(text("bench", model, rest))["key_values"].get<std::string>();
  };
  EXPECT_EQ(key_values("q.forge", {}), "f16");
  EXPECT_EQ(key_values("q.forge", {"--kv-cache-type", "f32"}), "f32");
  EXPECT_EQ(key_values("q.gguf", {}), "f32");
  EXPECT_EQ(key_values("q.gguf", {"--activations", "int8"}), "f16");
  EXPECT_EQ(key_values("q.gguf", {"--kv-cache-type", "q8_0"}), "q8_0");
  const std::string speed = text("bench", "q.forge", short_test);
  EXPECT_THAT(speed, HasSubstr("first token after"));
  EXPECT_THAT(speed, HasSubstr("head by top-k"));
}

TEST_F(Files, ARotatedHeadWritesTheSameTokensByTopKAndInFullAndIsNearTheStoredOne) {
  Make("in", Config("llama"));
  ASSERT_EQ(Run({"convert", Path("in"), Path("q.gguf"), "--type", "q8_0"}).code, 0);
  ASSERT_EQ(Run({"pack", Path("q.gguf"), Path("q.forge")}).code, 0);
  const testing::Outcome packed =
      Run({"pack", Path("q.gguf"), Path("r.forge"), "--embeddings", "q8_rotated"});
  ASSERT_EQ(packed.code, 0) << packed.err;
  EXPECT_THAT(packed.out, HasSubstr("int8 in halves, rotated"));
  const auto generate = [&](const std::string& head) {
    return Run({"generate", Path("r.forge"), "--prompt", "ab", "--max-new-tokens", "16", "--head", head});
  };
  EXPECT_EQ(generate("top-k").code, 0);
  EXPECT_EQ(generate("top-k").out, generate("full").out);
  const auto nats = [&](const std::string& model) {
    const testing::Outcome outcome =
        Run({"perplexity", Path(model), "--file", Path("in/config.json"), "--context", "64", "--json"});
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    return io::ParseJson(outcome.out, model).at("nll").get<double>();
  };
  EXPECT_NEAR(nats("r.forge"), nats("q.forge"), 0.02);
  EXPECT_NE(nats("r.forge"), nats("q.forge"));
}

TEST_F(Files, GreedyTokensOfAnInt8HeadAreTheSameByTopKAndInFull) {
  Make("in", Config("llama"));
  ASSERT_EQ(Run({"convert", Path("in"), Path("q.gguf"), "--type", "q8_0"}).code, 0);
  ASSERT_EQ(Run({"pack", Path("q.gguf"), Path("q.forge")}).code, 0);
  const auto generate = [&](const std::string& model, std::vector<std::string> rest) {
    rest.insert(rest.begin(), {"generate", Path(model), "--prompt", "ab", "--max-new-tokens", "16"});
    return Run(rest);
  };
  const testing::Outcome top_k = generate("q.forge", {}), full = generate("q.forge", {"--head", "full"}),
                         gguf = generate("q.gguf", {"--head", "top-k", "--activations", "int8"});
  EXPECT_EQ(top_k.code, 0) << top_k.err;
  EXPECT_EQ(full.out, top_k.out);
  EXPECT_EQ(gguf.out, top_k.out);
  const testing::Outcome cannot = generate("q.gguf", {"--head", "top-k"});
  EXPECT_EQ(cannot.code, 2);
  EXPECT_THAT(cannot.err, HasSubstr("not held as 8 bits in halves"));
  const auto bench = [&](const std::string& head) {
    return io::Json::parse(Run({"bench", Path("q.forge"), "--head", head, "--prompt-tokens", "0",
                                "--new-tokens", "4", "--repetitions", "1", "--json"})
                               .out);
  };
  const io::Json counted = bench("top-k"), all = bench("full");
  EXPECT_EQ(counted["head"], "top-k");
  EXPECT_EQ(counted["head_top_k_tokens"], 2 * 4);  // one run is not counted in the figures
  EXPECT_GT(counted["head_exact_share"].get<double>(), 0);
  EXPECT_TRUE(counted.contains("head_fallbacks"));
  EXPECT_EQ(all["head"], "full");
  EXPECT_FALSE(all.contains("head_top_k_tokens"));
}

TEST_F(Files, PackedFilesSayWhatTheyAreNotFor) {
  Make("in", Config("llama"));
  MakeAdapter("adapter");
  const auto expect = [&](const std::vector<std::string>& arguments, int code, const std::string& part) {
    const testing::Outcome outcome = Run(arguments);
    EXPECT_EQ(outcome.code, code) << arguments[0];
    EXPECT_THAT(outcome.err, HasSubstr(part));
  };
  expect({"pack", Path("in"), Path("q.forge")}, 3, "--linears q8_0");
  ASSERT_EQ(Run({"pack", Path("in"), Path("q.forge"), "--linears", "q8_0", "--embeddings", "q4_0"}).code, 0);
  const std::string file = Path("q.forge");
  expect({"pack", Path("in"), file}, 3, "it is there already");
  expect({"pack", file, Path("r.forge")}, 3, "a packed file, which only runs");
  expect({"convert", file, Path("r.gguf")}, 3, "a packed file, which only runs");
  expect({"convert", Path("in"), Path("r.forge")}, 2, "forge pack");
  expect({"generate", file, "--prompt", "a", "--weights", "bf16"}, 2, "used as it lies");
  expect({"generate", file, "--prompt", "a", "--activations", "float32"}, 2, "for int8 activations");
  expect({"generate", file + "+" + Path("adapter"), "--prompt", "a"}, 3, "rounded already");
  std::string bytes = io::ReadFile(file);
  bytes[bytes.size() / 2] ^= 4;
  io::WriteFileAtomically(file, bytes);
  EXPECT_EQ(Run({"generate", file, "--prompt", "a"}).code, 0);
  expect({"generate", file, "--prompt", "a", "--verify"}, 3, "do not have the SHA-256");
  expect({"inspect", file}, 3, "at offset");
  io::WriteFileAtomically(file, bytes.substr(0, bytes.size() - 1));
  expect({"generate", file, "--prompt", "a"}, 3, "at offset 16: it was written with");
}

// auto keeps what is stored: bfloat16 stays so, and blocks of a GGUF file are copied.
TEST_F(Files, ConvertWithoutATypeLosesNothing) {
  Make("in", Config("qwen2"), 1, io::FloatType::kBF16);
  ASSERT_EQ(Run({"convert", Path("in"), Path("a.gguf")}).code, 0);
  EXPECT_EQ(io::GgufFile(folder_ / "a.gguf").Find("blk.0.ffn_up.weight")->type, io::BlockType::kBF16);
  ASSERT_EQ(Run({"convert", Path("in"), Path("q.gguf"), "--type", "q4_1"}).code, 0);
  ASSERT_EQ(Run({"convert", Path("q.gguf"), Path("copy.gguf")}).code, 0);
  const io::GgufFile first(folder_ / "q.gguf"), copy(folder_ / "copy.gguf");
  for (const auto& entry : first.entries())
    EXPECT_TRUE(std::ranges::equal(entry.bytes, copy.Find(entry.name)->bytes)) << entry.name;
  io::GgufMetadata expected = first.metadata(), found = copy.metadata();
  expected.erase("general.name");
  found.erase("general.name");
  EXPECT_EQ(found, expected);
}

TEST_F(Files, ConvertCutsAFolderIntoShards) {
  const model::ModelWeights weights = Make("in", Config("llama"));
  ASSERT_EQ(Run({"convert", Path("in"), Path("out"), "--max-shard-gb", "0.0001"}).code, 0);
  EXPECT_TRUE(fs::exists(folder_ / "out/model.safetensors.index.json"));
  EXPECT_EQ(model::LoadModelFolder(folder_ / "out").weights, weights);
  EXPECT_EQ(Run({"convert", Path("in"), Path("x"), "--max-shard-gb", "0"}).code, 2);
}

TEST_F(Files, AdaptersAreAddedWhereverAModelIsNamed) {
  const model::ModelConfig config = Config("llama");
  model::ModelWeights weights = Make("base", config);
  MakeAdapter("lora");
  const std::string both = Path("base") + "+" + Path("lora");
  ASSERT_EQ(Run({"convert", both, Path("merged")}).code, 0);
  model::AddLora(model::ReadLoraAdapter(folder_ / "lora"), 1, weights, "lora");
  EXPECT_EQ(model::LoadModelFolder(folder_ / "merged").weights, weights);
  ASSERT_EQ(Run({"convert", both, Path("merged.gguf")}).code, 0);
  EXPECT_EQ(model::LoadGguf(folder_ / "merged.gguf").weights, weights);
  io::WriteFileAtomically(folder_ / "text.txt", "What a text is made of, in a few words.");
  const auto perplexity = [&](const std::string& model) {
    const testing::Outcome outcome =
        Run({"perplexity", model, "--file", Path("text.txt"), "--context", "16", "--stride", "8", "--json"});
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    return io::Json::parse(outcome.out)["perplexity"].dump();
  };
  EXPECT_EQ(perplexity(both), perplexity(Path("merged")));
  EXPECT_NE(perplexity(both), perplexity(Path("base")));
  for (const std::vector<std::string>& command : std::vector<std::vector<std::string>>{
           {"generate", both, "--prompt", "a", "--max-new-tokens", "1"},
           {"generate", "base+lora", "--models-dir", folder_.string(), "--prompt", "a", "--max-new-tokens",
            "1"},
           {"generate", Path("lora"), "--base", Path("base"), "--prompt", "a", "--max-new-tokens", "1"},
           {"tokenize", both, "--text", "a"},
           {"eval", both, "--items", "4"}}) {
    const testing::Outcome outcome = Run(command);
    EXPECT_EQ(outcome.code, 0) << command[0] << ": " << outcome.err;
  }
  const testing::Outcome alone = Run({"convert", Path("lora"), Path("x")});
  EXPECT_EQ(alone.code, 3);
  EXPECT_THAT(alone.err, HasSubstr("BASE+"));
  EXPECT_THAT(Run({"convert", Path("base") + "+" + Path("base"), Path("x")}).err,
              HasSubstr("no LoRA adapter"));
  EXPECT_THAT(Run({"convert", Path("base") + "+" + Path("none"), Path("x")}).err,
              HasSubstr("there is no model"));
}

TEST_F(Files, CheckpointsOfPyTorchAreRefusedWithTheWayToConvertThem) {
  Make("in", Config("llama"));
  fs::rename(folder_ / "in/model.safetensors", folder_ / "in/pytorch_model.bin");
  for (const std::string& path : {Path("in"), Path("in/pytorch_model.bin")}) {
    const testing::Outcome outcome = Run({"convert", path, Path("out")});
    EXPECT_EQ(outcome.code, 3);
    EXPECT_THAT(outcome.err, HasSubstr("a Python pickle"));
    EXPECT_THAT(outcome.err, HasSubstr("save_pretrained"));
  }
  Make("good", Config("llama"));
  EXPECT_THAT(Run({"convert", Path("good/model.safetensors"), Path("out")}).err,
              HasSubstr("give its folder"));
}

TEST_F(Files, InspectShowsArchitectureParametersTypesTokenizerPositionsAndChecksums) {
  model::ModelConfig config = Config("llama");
  config.rope_scaling = {.type = model::RopeScaling::Type::kLinear, .factor = 4};
  Make("in", config, 1, io::FloatType::kBF16);
  const testing::Outcome text = Run({"inspect", Path("in")});
  for (const char* part :
       {"llama (LlamaForCausalLM)", "2 layers, hidden 64, MLP 128, 4 query and 2 key-value heads of 16",
        "head tied to the embedding",
        "rope theta 500000.0, scaling {\"factor\":4.0,\"rope_type\":\"linear\"}", "epsilon 1e-05",
        "attention 24576 (BF16)", "mlp 49152 (BF16)", "tokens", "chat template", "sha256"})
    EXPECT_THAT(text.out, HasSubstr(part));
  EXPECT_THAT(text.out, Not(HasSubstr("self_attn")));
  EXPECT_THAT(Run({"inspect", Path("in"), "--tensors"}).out,
              HasSubstr("model.layers.1.self_attn.o_proj.weight"));

  const io::Json json = io::Json::parse(Run({"inspect", Path("in"), "--json"}).out);
  EXPECT_EQ(json["checksums"]["model.safetensors"], io::Sha256OfFile(folder_ / "in/model.safetensors"));
  EXPECT_FALSE(json.contains("tensors"));
  std::int64_t sum = 0;
  for (const auto& [name, count] : json["parameters_by_class"].items()) sum += count.get<std::int64_t>();
  EXPECT_EQ(sum, json["parameters"]);
  EXPECT_EQ(json["tensor_bytes"], 2 * sum);

  ASSERT_EQ(Run({"convert", Path("in"), Path("in.gguf"), "--type", "q4_0"}).code, 0);
  io::Json gguf = io::Json::parse(Run({"inspect", Path("in.gguf"), "--json", "--tensors"}).out);
  gguf["config"]["pad_token_id"] = nullptr;  // a GGUF file has that of its tokenizer
  EXPECT_EQ(gguf["config"], json["config"]);
  EXPECT_EQ(gguf["types_by_class"]["mlp"]["Q4_0"], 49152 / 32 * 18);
  EXPECT_EQ(gguf["tensors"][1]["name"], "blk.0.attn_norm.weight");

  MakeAdapter("lora");
  const io::Json both = io::Json::parse(Run({"inspect", Path("in") + "+" + Path("lora"), "--json"}).out);
  EXPECT_EQ(both["adapters"][0]["ranks"], io::Json::array({2}));
  EXPECT_EQ(both["adapters"][0]["modules"], io::Json::array({"up_proj"}));
  EXPECT_TRUE(both["checksums"].contains("lora/adapter_model.safetensors"));
  EXPECT_EQ(Run({"inspect", Path("lora")}).code, 0);
}

TEST_F(Files, CheckTellsWhatForbidsAMergeFromWhatNeedsADecision) {
  Make("a", Config("llama"));
  Make("b", Config("llama"), 2);
  const testing::Outcome equal = Run({"check", Path("a"), Path("b")});
  EXPECT_EQ(equal.code, 0);
  EXPECT_THAT(equal.out, HasSubstr("can be merged as they are"));

  model::ModelConfig stretched = Config("mistral");
  stretched.rope_scaling = {.type = model::RopeScaling::Type::kLinear, .factor = 2};
  stretched.rms_norm_eps = 1e-6;
  Make("c", stretched, 1, io::FloatType::kBF16);
  const testing::Outcome decisions = Run({"check", Path("a"), Path("c"), "--json"});
  EXPECT_EQ(decisions.code, 0) << decisions.out;
  const io::Json json = io::Json::parse(decisions.out);
  EXPECT_EQ(json["compatible"], true);
  std::vector<std::string> fields;
  for (const io::Json& difference : json["differences"]) fields.push_back(difference["field"]);
  EXPECT_THAT(fields, ::testing::ElementsAre("model_type", "rope_scaling", "rms_norm_eps", "type"));

  model::ModelConfig wide = Config("llama");
  wide.hidden_size = 128;
  Make("d", wide);
  const testing::Outcome forbidden = Run({"check", Path("a"), Path("c"), Path("d")});
  EXPECT_EQ(forbidden.code, 1);
  EXPECT_THAT(forbidden.out,
              HasSubstr("these models cannot be merged:\n  hidden_size is 64 in " + Path("a")));
  EXPECT_THAT(forbidden.out, HasSubstr("4 differences need a decision:"));

  MakeAdapter("lora");
  EXPECT_EQ(Run({"check", Path("a"), Path("a") + "+" + Path("lora")}).code, 0);
  EXPECT_EQ(Run({"check", Path("d"), Path("d") + "+" + Path("lora")}).code, 3);  // it does not fit
}

/// Weights made up on the way: no two rows alike, and nothing in memory.
class MadeUpWeights : public model::WeightSource {
 public:
  using WeightSource::WeightSource;
  std::string Name() const override { return "made up"; }
  std::string StoredType(const model::TensorSpec&) const override { return "F32"; }

 private:
  void ReadStoredRows(const model::TensorSpec& spec, std::int64_t first_row,
                      std::span<float> out) const override {
    std::uint32_t state =
        static_cast<std::uint32_t>(StableHash(spec.name) + 977u * static_cast<std::uint64_t>(first_row));
    for (float& value : out) {
      state = state * 1664525u + 1013904223u;
      value = static_cast<float>(static_cast<std::int32_t>(state)) * 0x1p-33f;
    }
  }
};

/// `config` with 67 MB of float32 a layer.
model::ModelConfig Large(model::ModelConfig config, int layers) {
  config.hidden_size = 1024;
  config.intermediate_size = 4096;
  config.num_hidden_layers = layers;
  config.num_attention_heads = config.num_key_value_heads = 16;
  config.head_dim = 64;
  return config;
}

// 402 MB of float32 with tensors of 17 MB: whoever reads it all, or keeps the pages it has read, needs more
// than the 267 MB allowed.
TEST_F(Files, ConvertNeedsFourTimesTheLargestTensorAnd200Megabytes) {
  const model::ModelConfig config = Large(Config("llama"), 6);
  Make("small", Config("llama"));  // for its tokenizer
  model::SaveModelFolder(folder_ / "in", MadeUpWeights(config),
                         {.type = io::FloatType::kF32, .tokenizer_source = folder_ / "tokenizer"});
  const std::uint64_t largest = 4096u * 1024u * 4u, limit = largest * 4 + 200'000'000;
  ASSERT_GT(fs::file_size(folder_ / "in/model.safetensors"), 400'000'000u);
  for (const std::vector<std::string>& arguments :
       std::vector<std::vector<std::string>>{{"convert", Path("in"), Path("out.gguf")},
                                             {"convert", Path("in"), Path("q8.gguf"), "--type", "q8_0"},
                                             {"convert", Path("out.gguf"), Path("out")},
                                             {"convert", Path("out.gguf"), Path("copy.gguf"), "--replace"}}) {
    const testing::Outcome outcome = Run(arguments);
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    EXPECT_LT(outcome.peak_bytes, limit) << arguments[1] << " to " << arguments[2];
    RecordProperty("peak " + fs::path(arguments[2]).filename().string(), std::to_string(outcome.peak_bytes));
  }
  EXPECT_EQ(io::ReadFile(folder_ / "out/model.safetensors"), io::ReadFile(folder_ / "in/model.safetensors"));
}

// The weights are held as they are stored, and no other copy is made on the way.
TEST_F(Files, ARunningModelNeedsTheBytesOfItsFileAndLittleMore) {
  const model::ModelConfig config = Large(Config("llama"), 3);
  Make("small", Config("llama"));  // for its tokenizer
  for (const auto& [name, type] : {std::pair{"f32", io::FloatType::kF32}, {"bf16", io::FloatType::kBF16}})
    model::SaveModelFolder(folder_ / name, MadeUpWeights(config),
                           {.type = type, .tokenizer_source = folder_ / "tokenizer"});
  ASSERT_EQ(Run({"convert", Path("f32"), Path("q8_0.gguf"), "--type", "q8_0"}).code, 0);
  for (const std::string name : {"f32", "bf16", "q8_0.gguf"}) {
    const fs::path file = name == "q8_0.gguf" ? folder_ / name : folder_ / name / "model.safetensors";
    const testing::Outcome outcome = Run({"generate", Path(name), "--prompt", "a", "--max-new-tokens", "2"});
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    EXPECT_LT(outcome.peak_bytes, fs::file_size(file) + 60'000'000) << name;
    EXPECT_GT(outcome.peak_bytes, fs::file_size(file)) << name;
  }
}

}  // namespace
}  // namespace forge
