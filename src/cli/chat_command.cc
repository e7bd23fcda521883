// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>
#include <iostream>
#include <optional>

#include "base/error.h"
#include "cli/chat_format.h"
#include "cli/command_list.h"
#include "cli/generation.h"

namespace forge::cli {
namespace {

class ChatCommand : public Command {
 public:
  std::string Name() const override { return "chat"; }
  std::string Summary() const override {
    return "Talk to a model, line by line; /reset forgets, /exit ends.";
  }
  std::string Example() const override {
    return "forge chat SmolLM2-135M-Instruct.Q4_1.gguf --temperature 0.7 --top-p 0.9";
  }
  void AddFlags(FlagSet& flags) override {
    flags.AddPositional("MODEL", name_, "A model folder or a GGUF file.");
    flags.AddText("--system", system_, "System message; the template's own unless given.");
    flags.AddSwitch("--plain", plain_,
                    "No chat template: each line is a text that the model goes on from, without memory.");
    flags.AddConfig(sampling_);
    model_.AddTo(flags);
  }

  int Run(const FlagSet& flags, Terminal& terminal) override {
    RunnableModel model = model_.LoadToRun(name_);
    std::optional<ChatMl> chat;
    if (!plain_) chat.emplace(*model.tokenizer, model.name);
    if (chat) model.stop_token_ids.push_back(chat->end_of_turn());
    if (chat && !flags.Given("--system")) system_ = chat->default_system();
    const bool interactive = isatty(STDIN_FILENO) != 0 && !terminal.json();
    if (interactive) terminal.Log("type a line; /reset forgets the conversation, /exit or Ctrl-D ends");
    Reset();
    io::Json turns = io::Json::array();
    for (std::string line; ReadLine(interactive, line, terminal);) {
      if (line == "/exit") break;
      if (line == "/reset") {
        Reset();
        terminal.Log("the conversation starts anew");
      } else if (!line.empty()) {
        const std::string answer = Answer(model, chat, line, terminal);
        turns.push_back({{"user", line}, {"assistant", answer}});
      }
    }
    terminal.PrintJson({{"turns", turns}});
    return 0;
  }

 private:
  void Reset() {
    messages_.clear();
    if (!system_.empty()) messages_.push_back({"system", system_});
  }

  static bool ReadLine(bool interactive, std::string& line, const Terminal& terminal) {
    if (interactive) std::fputs("> ", stderr);
    const bool read = static_cast<bool>(std::getline(std::cin, line));
    if (terminal.stop().stop_requested())
      throw Error({.kind = ErrorKind::kInterrupted,
                   .what = "stopped on request",
                   .why = "Ctrl-C was pressed",
                   .fix = "end a conversation with /exit"});
    return read;
  }

  std::string Answer(const RunnableModel& model, const std::optional<ChatMl>& chat, const std::string& line,
                     Terminal& terminal) {
    messages_.push_back({"user", line});
    const std::vector<int> prompt = chat ? chat->Encode(messages_) : model.Encode(line);
    const auto room = static_cast<std::size_t>(model.model->config().max_position_embeddings);
    if (prompt.size() >= room) {
      messages_.pop_back();
      terminal.Log(fmt::format(
          "the conversation would have {} tokens, the model holds {}: type /reset, or a shorter line",
          prompt.size(), room));
      return "";
    }
    const GeneratedText result = GenerateText(model, prompt, sampling_, terminal.stop(),
                                              [&](const std::string& piece) { terminal.Stream(piece); });
    terminal.Print("\n");
    messages_.push_back({"assistant", result.text});
    return result.text;
  }

  std::string name_, system_;
  bool plain_ = false;
  SamplingConfig sampling_;
  ModelFlags model_;
  std::vector<ChatMessage> messages_;
};

}  // namespace

std::unique_ptr<Command> MakeChatCommand() { return std::make_unique<ChatCommand>(); }

}  // namespace forge::cli
