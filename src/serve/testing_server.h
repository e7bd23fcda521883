// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <httplib.h>

#include <memory>
#include <string>
#include <thread>

#include "model/testing_models.h"
#include "runtime/native_model.h"
#include "serve/server.h"
#include "text/byte_tokenizer.h"

/// For tests only: a tiny model over bytes, with a chat template, and a server of it.
namespace forge::serve::testing {

inline text::TokenizerData ByteTokenizerWithChat() {
  text::TokenizerData data = text::MakeByteTokenizer();
  data.chat_template =
      "{% if messages[0].role == 'assistant' %}{{ raise_exception('the user begins') }}{% endif %}"
      "{% for message in messages %}{{ message.role }}: {{ message.content }}\n{% endfor %}"
      "{% if add_generation_prompt %}assistant: {% endif %}";
  return data;
}

struct TinyModel {
  explicit TinyModel(int positions = 256)
      : config(Config(positions)),
        native(config, model::testing::RandomWeights(config)),
        tokenizer(ByteTokenizerWithChat()),
        chat(tokenizer, "tiny") {}

  static model::ModelConfig Config(int positions) {
    model::ModelConfig config = model::testing::TinyConfig();
    config.vocab_size = text::kByteVocabSize;
    config.max_position_embeddings = positions;
    return config;
  }
  ServedModel Served() const {
    return {.name = "tiny",
            .transformer = native.transformer(),
            .tokenizer = tokenizer,
            .chat = &chat,
            .stop_token_ids = {text::kByteEndOfText},
            .encode = [this](std::string_view text) { return tokenizer.Encode(text); }};
  }

  model::ModelConfig config;
  runtime::NativeModel native;
  text::Tokenizer tokenizer;
  text::ChatFormat chat;
};

/// A server on a free port, in a thread of its own.
class RunningServer {
 public:
  explicit RunningServer(const ServedModel& model, ServerOptions options = {}) {
    options.port = 0;
    server_ = std::make_unique<Server>(model, std::move(options));
    thread_ = std::thread([this] { cut_ = server_->Run(stop_); });
  }
  ~RunningServer() { Stop(); }
  RunningServer(const RunningServer&) = delete;
  RunningServer& operator=(const RunningServer&) = delete;

  int port() const { return server_->port(); }
  void RequestStop() { stop_.RequestStop(); }
  /// The number of answers that were cut.
  int Stop() {
    stop_.RequestStop();
    if (thread_.joinable()) thread_.join();
    return cut_;
  }
  httplib::Client Client() const {
    httplib::Client client("127.0.0.1", port());
    client.set_read_timeout(60, 0);
    return client;
  }

 private:
  std::unique_ptr<Server> server_;
  StopToken stop_;
  int cut_ = 0;
  std::thread thread_;
};

}  // namespace forge::serve::testing
