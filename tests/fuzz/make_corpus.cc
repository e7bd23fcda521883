// SPDX-License-Identifier: Apache-2.0
// Writes small valid inputs that the fuzzers start from: FOLDER/<fuzzer>/<name>.
#include <fstream>
#include <iostream>

#include "base/error.h"
#include "io/atomic_file.h"
#include "jobs/messages.h"
#include "model/gguf_model.h"
#include "model/model_folder.h"
#include "model/testing_models.h"
#include "runtime/packed_file.h"
#include "text/byte_tokenizer.h"
#include "text/gguf_tokenizer.h"
#include "text/testing_samples.h"
#include "text/tokenizer_json.h"

namespace forge {
namespace {

namespace fs = std::filesystem;

void Write(const fs::path& folder, const std::string& name, const std::string& bytes) {
  fs::create_directories(folder);
  std::ofstream(folder / name, std::ios::binary) << bytes;
}

void WriteModels(const fs::path& folder) {
  for (const char* type : {"qwen2", "llama", "qwen3"}) {
    model::ModelConfig config = model::testing::TinyConfig(type);
    config.num_hidden_layers = 1;
    config.vocab_size = text::kByteVocabSize;
    const model::ModelWeights weights = model::testing::RandomWeights(config);
    const fs::path staging = folder / "staging";
    model::SaveModelFolder(staging, config, weights, io::FloatType::kBF16, {}, true);
    Write(folder / "safetensors", type, io::ReadFile(staging / "model.safetensors"));
    Write(folder / "model_config", type, io::ReadFile(staging / "config.json"));
    for (const io::BlockType linears : {io::BlockType::kQ8_0, io::BlockType::kQ4_0, io::BlockType::kQ2_0})
      model::SaveGguf(staging / "model.gguf", config,
                      model::GgufTensorsOf(config, weights, linears, io::BlockType::kF16),
                      text::ToGgufMetadata(text::MakeByteTokenizer(), config.vocab_size), "seed"),
          Write(folder / "gguf", std::string(type) + "-" + std::string(io::Info(linears).name),
                io::ReadFile(staging / "model.gguf"));
    runtime::SavePackedFile(staging / "model.forge",
                            runtime::PackWeights(config, weights,
                                                 {.linears = runtime::WeightType::kInt4,
                                                  .embeddings = runtime::WeightType::kInt8,
                                                  .activations = runtime::Activations::kInt8}),
                            text::ToGgufMetadata(text::MakeByteTokenizer(), config.vocab_size), "seed");
    Write(folder / "packed_file", type, io::ReadFile(staging / "model.forge"));
    fs::remove_all(staging);
  }
}

void WriteTokenizers(const fs::path& folder) {
  Write(folder / "tokenizer_json", "llama", text::testing::LlamaJson().dump());
  Write(folder / "tokenizer_json", "bytes", text::MakeByteTokenizerJson().dump());
  Write(folder / "tokenizer_model", "llama",
        text::testing::SentencePieceFile(text::testing::LlamaPieces(text::testing::kThePieces)));
}

void WriteTemplates(const fs::path& folder) {
  const io::Json cases =
      io::ReadJsonFile(fs::path(FORGE_SOURCE_DIR) / "src/text/jinja/template_cases.json")["cases"];
  int number = 0;
  for (const io::Json& test : cases)
    Write(folder / "chat_template", std::to_string(number++), test["template"].get<std::string>());
}

void WriteTasks(const fs::path& folder) {
  for (const fs::directory_entry& task :
       fs::directory_iterator(fs::path(FORGE_SOURCE_DIR) / "src/eval/tasks"))
    Write(folder / "task_file", task.path().filename(), io::ReadFile(task.path()));
}

void WriteMergeConfigs(const fs::path& folder) {
  Write(folder / "merge_config", "models",
        "merge_method: della\nbase_model: b\nmodels:\n"
        "  - {model: a, parameters: {weight: [0, 1], density: {filter: mlp, value: 0.5}}}\n"
        "  - model: {model: {path: c, revision: v}, lora: d}\n"
        "parameters: {normalize: true, weight: [{filter: '*', value: 1e-1}]}\n"
        "dtype: float16\ntokenizer:\n  source: union\n  pad_to_multiple_of: 8\n"
        "  tokens: {x: {source: {kind: model_token, model: a, token_id: 1}, force: true}}\n");
  Write(folder / "merge_config", "slices",
        "name: a\nmerge_method: passthrough\nslices:\n"
        "  - {sources: [{model: b, layer_range: [0, 2], parameters: {scale: 2}}], base_model: c}\n---\n"
        "merge_method: slerp\nbase_model: a\nmodules: {m: {models: [{model: d}], parameters: {t: 1}}}\n"
        "tokenizer_source: base\n");
}

void WriteHubAnswers(const fs::path& folder) {
  const io::Json siblings = {{{"rfilename", "config.json"}}, {{"rfilename", "onnx/model.onnx"}}};
  Write(folder / "hub_answers", "revision",
        io::Json{{"sha", std::string(40, 'a')}, {"siblings", siblings}}.dump());
}

void WriteJobMessages(const fs::path& folder) {
  using namespace jobs;
  const Error::Fields reason{.kind = ErrorKind::kInput, .what = "a", .why = "b", .fix = "c"};
  int number = 0;
  const auto write = [&](const auto& message) {
    Write(folder / "job_messages", std::to_string(number++), Encode(message));
  };
  for (const FromWorker& message : std::initializer_list<FromWorker>{
           Hello{.identity = {.version = "1", .inputs = "ab"}, .host = "h", .pid = 7, .process = "p"},
           Heartbeat{}, Result{"genome 1", {{"score", 0.5}, {"items", {1, 0}}}, 2.5},
           Failure{"genome 1", reason}, Goodbye{reason}})
    write(message);
  for (const ToWorker& message : std::initializer_list<ToWorker>{Job{"genome 1", {{"genome", {0.25, 1e-3}}}},
                                                                 Refusal{reason}, Stop{"done"}, Presence{}})
    write(message);
}

void WriteApiRequests(const fs::path& folder) {
  const std::string completion =
      R"({"model": "tiny", "prompt": ["a", "b"], "n": 2, "max_tokens": 3, "temperature": 0.5, "top_p": 0.9, "top_k": 4,
        "seed": -1, "stop": ["x", "yz"], "stream": true, "stream_options": {"include_usage": true}, "logprobs": 2,
        "user": "u", "logit_bias": {}})";
  const std::string echo = R"({"prompt": [[1, 2, 258]], "max_tokens": 0, "echo": true, "logprobs": 1})";
  const std::string chat =
      R"({"messages": [{"role": "system", "content": "s"}, {"role": "user", "content": [{"type": "text", "text": "a"}]},
        {"role": "assistant", "content": "b", "tool_calls": []}, {"role": "user", "content": "c"}], "truncate": true,
        "max_completion_tokens": 4, "logprobs": true, "top_logprobs": 2, "response_format": {"type": "text"}})";
  Write(folder / "api_request", "completion", completion);
  Write(folder / "api_request", "echo", echo);
  Write(folder / "api_request", "chat", chat);
  const auto post = [](const std::string& path, const std::string& body) {
    return "POST " + path +
           " HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: " +
           std::to_string(body.size()) + "\r\n\r\n" + body;
  };
  Write(folder / "http_request", "completion", post("/v1/completions", completion));
  Write(folder / "http_request", "chat", post("/v1/chat/completions", chat));
  Write(folder / "http_request", "get",
        "GET /v1/models/tiny HTTP/1.1\r\nHost: localhost\r\nOrigin: null\r\n\r\n");
  Write(folder / "http_request", "chunked",
        "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: "
        "chunked\r\n\r\n5\r\n{\"pro\r\n9\r\nmpt\":\"a\"}"
        "\r\n0\r\n\r\n");
}

}  // namespace
}  // namespace forge

int main(int count, char** arguments) {
  if (count != 2) {
    std::cerr << "usage: forge_fuzz_corpus FOLDER\n";
    return 2;
  }
  try {
    forge::WriteModels(arguments[1]);
    forge::WriteTokenizers(arguments[1]);
    forge::WriteTemplates(arguments[1]);
    forge::WriteTasks(arguments[1]);
    forge::WriteMergeConfigs(arguments[1]);
    forge::WriteHubAnswers(arguments[1]);
    forge::WriteJobMessages(arguments[1]);
    forge::WriteApiRequests(arguments[1]);
  } catch (const forge::Error& error) {
    std::cerr << error.what() << "\n";
    return 1;
  }
  return 0;
}
