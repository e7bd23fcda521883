// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include "base/error.h"
#include "cli/command_list.h"
#include "cli/model_flags.h"
#include "cli/tokenize_lines.h"
#include "io/atomic_file.h"
#include "text/load_tokenizer.h"
#include "text/text_stream.h"

namespace forge::cli {
namespace {

class TokenizeCommand : public Command {
 public:
  std::string Name() const override { return "tokenize"; }
  std::string Summary() const override { return "Show the tokens of a text, or the text of tokens."; }
  std::string Example() const override { return "forge tokenize models/starter/base --text \"m 32    =\""; }
  void AddFlags(FlagSet& flags) override {
    flags.AddPositional("MODEL", name_,
                        "A model folder, GGUF file, tokenizer.json or SentencePiece tokenizer.model.", false);
    flags.AddText("--text", text_, "The text.");
    flags.AddText("--file", file_, "File with the text.", "file");
    flags.AddOptionalList("--decode", decode_, "Ids to turn into text; with --jsonl alone: the way back.");
    flags.AddSwitch(
        "--jsonl", jsonl_,
        "Standard input holds one JSON string on each line; answer each with a JSON array of ids.");
    flags.AddSwitch(
        "--special", special_,
        "Put BOS and EOS around the text as the tokenizer's template says, or take them away again.");
    flags.AddSwitch("--plain", plain_, "Read control tokens in the text (<|im_end|>) as plain text.");
    model_.AddFolderTo(flags);
  }

  int Run(const FlagSet& flags, Terminal& terminal) override {
    const bool decodes = flags.Given("--decode");
    if (jsonl_ && decodes && name_.empty() && decode_.size() == 1) {  // --jsonl --decode MODEL
      name_ = decode_.front();
      decode_.clear();
    }
    if (flags.Given("--text") + flags.Given("--file") + (jsonl_ || decodes) != 1)
      ThrowUsage("forge tokenize needs one thing to work on",
                 "give exactly one of --text, --file, --decode and --jsonl");
    if (name_.empty()) ThrowUsage("forge tokenize needs MODEL", "no model or tokenizer was named");
    if (jsonl_ && (terminal.json() || !decode_.empty()))
      ThrowUsage("forge tokenize --jsonl works on its lines only", "leave out --json and ids after --decode");
    if (decodes && !jsonl_ && decode_.empty())
      ThrowUsage("forge tokenize --decode needs ids", "only with --jsonl they come from standard input");
    const auto tokenizer = text::LoadTokenizer(model_.ResolveTokenizer(name_));
    if (jsonl_) {
      const LineOptions options{.decode = decodes, .special = special_, .plain = plain_};
      TokenizeLines(*tokenizer, options, STDIN_FILENO, stdout, terminal.stop());
      return 0;
    }
    Show(*tokenizer, decodes, terminal);
    return 0;
  }

 private:
  [[noreturn]] static void ThrowUsage(const char* what, const char* why) {
    throw Error({.kind = ErrorKind::kUsage,
                 .what = what,
                 .why = why,
                 .fix = "forge tokenize MODEL --text \"Hello\", or --jsonl <texts.jsonl"});
  }

  void Show(const text::Tokenizer& tokenizer, bool decodes, Terminal& terminal) const {
    std::vector<int> ids;
    if (decodes) {
      ids = ParseIds(tokenizer);
    } else {
      ids = tokenizer.Encode(file_.empty() ? text_ : io::ReadFile(file_), !plain_);
      if (special_) ids = tokenizer.WithTemplate(std::move(ids));
    }
    io::Json pieces = io::Json::array();
    std::string lines;
    for (const int id : ids) {
      const std::string bytes = tokenizer.TokenBytes(id);
      pieces.push_back(bytes);
      lines += fmt::format("{:>8}  {}\n", id, Visible(bytes));
    }
    const std::string text = tokenizer.Decode(decodes && special_ ? tokenizer.WithoutTemplate(ids) : ids);
    terminal.PrintJson({{"ids", ids}, {"pieces", pieces}, {"text", text}});
    terminal.Print(decodes ? text + "\n"
                           : fmt::format("{}\n{}{} tokens\n", fmt::join(ids, ","), lines, ids.size()));
  }

  std::vector<int> ParseIds(const text::Tokenizer& tokenizer) const {
    std::vector<int> ids;
    for (const std::string& word : decode_) {
      int id = -1;
      if (!ParseValue(word, id)) ThrowWrongValue("--decode", word, "1,2,3");
      if (id < 0 || id >= tokenizer.size())
        throw Error({.what = fmt::format("there is no token {}", id),
                     .why = fmt::format("the tokenizer knows the ids 0 to {}", tokenizer.size() - 1),
                     .fix = "give ids of this model"});
      ids.push_back(id);
    }
    return ids;
  }

  /// In quotes, with escapes for what a terminal would not show: a part of a character too.
  static std::string Visible(const std::string& bytes) {
    std::size_t cut = 0;
    const bool whole = text::CleanUtf8(bytes, cut) == bytes;
    std::string text = "\"";
    for (const char c : bytes) {
      const auto byte = static_cast<unsigned char>(c);
      if (c == '\n')
        text += "\\n";
      else if (c == '\t')
        text += "\\t";
      else if (c == '"' || c == '\\')
        text += std::string("\\") + c;
      else if (byte < 0x20 || byte == 0x7F || (byte >= 0x80 && !whole))
        text += fmt::format("\\x{:02x}", byte);
      else
        text += c;
    }
    return text + "\"";
  }

  std::string name_, text_, file_;
  std::vector<std::string> decode_;
  bool jsonl_ = false, special_ = false, plain_ = false;
  ModelFlags model_;
};

}  // namespace

std::unique_ptr<Command> MakeTokenizeCommand() { return std::make_unique<TokenizeCommand>(); }

}  // namespace forge::cli
