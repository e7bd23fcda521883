// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>
#include <iostream>
#include <optional>

#include "base/error.h"
#include "cli/command_list.h"
#include "cli/generation.h"
#include "text/chat_format.h"

namespace forge::cli {
namespace {

class ChatCommand : public Command {
 public:
  std::string Name() const override { return "chat"; }
  std::string Summary() const override {
    return "Talk to a model, line by line; /help lists what else can be typed.";
  }
  std::string Example() const override {
    return "forge chat SmolLM2-135M-Instruct.Q4_1.gguf --temperature 0.7 --top-p 0.9";
  }
  void AddFlags(FlagSet& flags) override {
    flags.AddPositional("MODEL", name_, "A model folder, a GGUF or packed file.");
    flags.AddText("--system", system_, "System message; the template's own unless given.");
    flags.AddSwitch("--plain", plain_,
                    "No chat template: each line is a text that the model goes on from, without memory.");
    flags.AddConfig(sampling_);
    model_.AddTo(flags, "auto");
    model_.AddHeadTo(flags);
  }

  int Run(const FlagSet&, Terminal& terminal) override {
    RunnableModel model = model_.LoadToRun(name_);
    std::optional<text::ChatFormat> chat;
    if (!plain_) chat.emplace(*model.tokenizer, model.name);
    if (chat && chat->end_of_turn() >= 0) model.stop_token_ids.push_back(chat->end_of_turn());
    runtime::Session session(*model.model);
    const bool interactive = isatty(STDIN_FILENO) != 0 && !terminal.json();
    if (interactive) terminal.Log("type a line; /help lists what else can be typed, /exit or Ctrl-D ends");
    Reset();
    io::Json turns = io::Json::array();
    for (std::string line; ReadLine(interactive, line, terminal);) {
      if (line == "/exit") break;
      if (line.starts_with('/')) {
        Obey(line, session, terminal);
      } else if (!line.empty()) {
        const std::string answer = Answer(model, session, chat, line, terminal);
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

  /// A line that starts with a slash. Trouble with it does not end the conversation.
  void Obey(const std::string& line, const runtime::Session& session, Terminal& terminal) {
    const std::size_t blank = line.find(' ');
    const std::string word = line.substr(0, blank),
                      rest = blank == std::string::npos ? "" : line.substr(blank + 1);
    if (word == "/reset") {
      Reset();
      terminal.Log("the conversation starts anew");
    } else if (word == "/system") {
      system_ = rest;
      Reset();
      terminal.Log(rest.empty() ? "no system message; the conversation starts anew"
                                : "the conversation starts anew, with this system message");
    } else if (word == "/save") {
      Save(rest, terminal);
    } else if (word == "/stats") {
      terminal.Log(
          fmt::format("{} messages; {} tokens held in {:.1f} MiB, {} of the last prompt were there already; "
                      "prompt {:.1f} tokens/s, answer {:.1f} tokens/s",
                      messages_.size(), session.length(), static_cast<double>(session.bytes()) / 1048576,
                      session.reused(), last_.prompt_tokens_per_second, last_.tokens_per_second));
    } else {
      if (word != "/help") terminal.Log("there is no " + word);
      terminal.Log(
          "/system TEXT sets the system message, /reset forgets the conversation, /save FILE.json writes it, "
          "/stats shows speed and memory, /exit ends");
    }
  }

  void Save(const std::string& path, Terminal& terminal) const {
    if (path.empty()) return terminal.Log("/save needs the name of a file");
    io::Json messages = io::Json::array();
    for (const text::ChatMessage& message : messages_)
      messages.push_back({{"role", message.role}, {"content", message.content}});
    try {
      io::WriteJsonFile(path, messages);
      terminal.Log(fmt::format("{} messages are in {}", messages_.size(), path));
    } catch (const Error& error) {
      terminal.Log(error.what());
    }
  }

  std::string Answer(const RunnableModel& model, runtime::Session& session,
                     const std::optional<text::ChatFormat>& chat, const std::string& line,
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
    last_ = GenerateText(model, session, prompt, sampling_, terminal.stop(),
                         [&](const std::string& piece) { terminal.Stream(piece); });
    terminal.Print("\n");
    messages_.push_back({"assistant", last_.text});
    return last_.text;
  }

  std::string name_, system_;
  bool plain_ = false;
  SamplingConfig sampling_;
  ModelFlags model_;
  std::vector<text::ChatMessage> messages_;
  GeneratedText last_;
};

}  // namespace

std::unique_ptr<Command> MakeChatCommand() { return std::make_unique<ChatCommand>(); }

}  // namespace forge::cli
