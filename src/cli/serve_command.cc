// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <malloc.h>

#include <cstdlib>
#include <optional>

#include "base/error.h"
#include "cli/command_list.h"
#include "cli/model_flags.h"
#include "io/atomic_file.h"
#include "serve/server.h"
#include "text/chat_format.h"

namespace forge::cli {
namespace {

struct ServeConfig {
  int port = 8080;
  std::string host = "localhost";
  std::string model_name;
  int max_sequences = 32;
  int max_waiting = 64;
  int kv_cache_mb = 1024;
  int max_tokens = 4096;
  int default_chat_tokens = 1024;
  int prompt_tokens_per_step = 256;
  int max_body_mb = 4;
  double request_timeout_seconds = 10;
  double drain_seconds = 30;
  bool truncate = false;
  std::vector<std::string> cors_origin;

  template <class Visitor>
  void VisitFields(Visitor&& visit) {
    visit("port", port, InRange{0, 65535}, "Port to listen on; 0: any free one.");
    visit("host", host, AnyValue{},
          "Name or address to listen on; one that others can reach needs a key (--api-key-file).");
    visit("model_name", model_name, AnyValue{},
          "Name of the model in the API; the folder's or file's unless given.");
    visit("max_sequences", max_sequences, InRange{1, 256}, "Texts that are written at the same time.");
    visit("max_waiting", max_waiting, InRange{1, 1024}, "Requests that wait; one more gets 429.");
    visit("kv_cache_mb", kv_cache_mb, InRange{1, 1e6},
          "Memory for the keys and values of all texts that are written, in MiB.");
    visit("max_tokens", max_tokens, InRange{1, 1'000'000}, "Tokens that a request may ask for.");
    visit("default_chat_tokens", default_chat_tokens, InRange{1, 1'000'000},
          "Tokens of a chat answer at most, if the request does not say.");
    visit(
        "prompt_tokens_per_step", prompt_tokens_per_step, InRange{1, 4096},
        "Prompt tokens read between two tokens of those who write: fewer keep the writing smooth, more read "
        "long prompts faster.");
    visit("max_body_mb", max_body_mb, InRange{1, 256}, "Size of a request at most, in MiB; beyond it 413.");
    visit("request_timeout_seconds", request_timeout_seconds, InRange{0.1, 3600},
          "Time in which a request must arrive, and in which a client must read on.");
    visit("drain_seconds", drain_seconds, InRange{0, 86400},
          "Time for open answers after the first Ctrl-C or SIGTERM; a second one ends at once.");
    visit("truncate", truncate, AnyValue{},
          "A chat that is too long loses its oldest messages (header X-Forge-Dropped-Messages) instead of "
          "being refused.");
    visit("cors_origin", cors_origin, AnyValue{},
          "Origins whose web pages may ask (http://localhost:3000), or * for any.");
  }
};

/// A server runs for long, with a hundred threads and blocks of all sizes. Blocks of a MiB and more (keys and
/// values, logits) go back to the system when they are freed; glibc would raise that limit to 32 MiB by
/// itself, and memory of 32 clients of SmolLM2 then crept from 350 to 380 MiB in three minutes
/// (docs/results.md). A few arenas are enough for the few threads that run at a time; glibc would make eight
/// for each core.
void KeepMemoryFlat() {
#ifdef __GLIBC__
  mallopt(M_MMAP_THRESHOLD, 1 << 20);
  mallopt(M_ARENA_MAX, 4);
#endif
}

class ServeCommand : public Command {
 public:
  std::string Name() const override { return "serve"; }
  std::string Summary() const override {
    return "Serve a model over an OpenAI-compatible API, with a chat page; Ctrl-C ends it.";
  }
  std::string Example() const override { return "forge serve SmolLM2-135M-Instruct.Q4_1.gguf --port 8080"; }
  void AddFlags(FlagSet& flags) override {
    flags.AddPositional("MODEL", name_, "A model folder, a GGUF or packed file.");
    flags.AddConfig(config_);
    flags.AddText("--api-key", api_key_,
                  "Key that clients must send; others on this machine can see it in the list of processes.");
    flags.AddText("--api-key-file", api_key_file_,
                  "File whose first line is that key. The variable FORGE_API_KEY holds one, too.", "file");
    model_.AddTo(flags);
    model_.AddHeadTo(flags);
    model_.AddPinTo(flags);
  }

  int Run(const FlagSet& flags, Terminal& terminal) override {
    const std::string key = ApiKey(flags);
    KeepMemoryFlat();
    const RunnableModel model = model_.LoadToRun(name_);
    std::optional<text::ChatFormat> chat;
    if (!model.tokenizer->data().chat_template.empty()) chat.emplace(*model.tokenizer, model.name);
    serve::ServedModel served{.name = config_.model_name.empty() ? model.name : config_.model_name,
                              .transformer = model.model->transformer(),
                              .tokenizer = *model.tokenizer,
                              .chat = chat ? &*chat : nullptr,
                              .stop_token_ids = model.stop_token_ids,
                              .encode = [&](std::string_view text) { return model.Encode(text); }};
    if (chat && chat->end_of_turn() >= 0) served.stop_token_ids.push_back(chat->end_of_turn());
    serve::Server server(served, Options(key));
    Announce(served, server, terminal);
    const int cut = server.Run(terminal.stop());
    if (cut > 0) terminal.Log(fmt::format("{} answers were cut: --drain-seconds was over", cut));
    return 0;  // being stopped is how it ends
  }

 private:
  std::string ApiKey(const FlagSet& flags) const {
    if (flags.Given("--api-key") && flags.Given("--api-key-file"))
      throw Error({.kind = ErrorKind::kUsage,
                   .what = "forge serve takes one key",
                   .why = "both --api-key and --api-key-file are given",
                   .fix = "give one of them"});
    std::string key = api_key_;
    if (flags.Given("--api-key-file")) {
      key = io::ReadFile(api_key_file_);
      key.resize(std::min(key.find_first_of("\r\n"), key.size()));
    } else if (const char* variable = std::getenv("FORGE_API_KEY"); !flags.Given("--api-key") && variable) {
      key = variable;
    } else if (!flags.Given("--api-key")) {
      return "";
    }
    if (key.empty() || key.find_first_of(" \t\r\n") != std::string::npos)
      throw Error(
          {.kind = ErrorKind::kUsage,
           .what = "the API key cannot be used",
           .why = key.empty() ? "it is empty" : "it has white space in it",
           .fix = "make one: head -c 24 /dev/urandom | base64 > key.txt; then --api-key-file key.txt"});
    return key;
  }

  serve::ServerOptions Options(const std::string& key) const {
    const auto milliseconds = [](double seconds) {
      return std::chrono::milliseconds(static_cast<std::int64_t>(seconds * 1000));
    };
    return {.host = config_.host,
            .port = config_.port,
            .api_key = key,
            .cors_origins = config_.cors_origin,
            .max_body_bytes = static_cast<std::size_t>(config_.max_body_mb) << 20,
            .request_timeout = milliseconds(config_.request_timeout_seconds),
            .drain = milliseconds(config_.drain_seconds),
            .scheduler = {.batch = {.max_sequences = static_cast<std::size_t>(config_.max_sequences),
                                    .key_value_bytes = static_cast<std::size_t>(config_.kv_cache_mb) << 20,
                                    .prompt_tokens_per_step =
                                        static_cast<std::size_t>(config_.prompt_tokens_per_step)},
                          .max_waiting = static_cast<std::size_t>(config_.max_waiting),
                          .pin_threads = model_.pin_threads},
            .plan = {.max_tokens = config_.max_tokens,
                     .default_chat_tokens = config_.default_chat_tokens,
                     .truncate = config_.truncate,
                     .could_run = {}}};
  }

  void Announce(const serve::ServedModel& served, const serve::Server& server, Terminal& terminal) const {
    const std::size_t weights = served.transformer.weight_bytes();
    const std::size_t per_token =
        runtime::KeyValueBytesPerToken(served.transformer.config(), served.transformer.key_values());
    const std::size_t per_context = per_token * static_cast<std::size_t>(served.context());
    const auto mebibytes = [](std::size_t bytes) { return static_cast<double>(bytes) / 1048576; };
    terminal.Print(
        fmt::format("serving {} at {} (Ctrl-C ends it)\n"
                    "  API {}/v1, chat page {}/{}\n"
                    "  memory: weights {:.1f} MiB; keys and values {:.1f} KiB a token, {:.1f} MiB for a "
                    "whole context of {} "
                    "tokens; {} MiB for all texts, at most {} at a time\n",
                    served.name, server.Url(), server.Url(), server.Url(),
                    served.chat == nullptr ? " (no chat template: /v1/completions only)" : "",
                    mebibytes(weights), static_cast<double>(per_token) / 1024, mebibytes(per_context),
                    served.context(), config_.kv_cache_mb, config_.max_sequences));
    terminal.PrintJson({{"url", server.Url()},
                        {"port", server.port()},
                        {"model", served.name},
                        {"has_chat_template", served.chat != nullptr},
                        {"context", served.context()},
                        {"weight_bytes", weights},
                        {"key_value_bytes_per_token", per_token},
                        {"key_value_limit_bytes", static_cast<std::size_t>(config_.kv_cache_mb) << 20},
                        {"max_sequences", config_.max_sequences}});
  }

  std::string name_, api_key_, api_key_file_;
  ServeConfig config_;
  ModelFlags model_;
};

}  // namespace

std::unique_ptr<Command> MakeServeCommand() { return std::make_unique<ServeCommand>(); }

}  // namespace forge::cli
