// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/error.h"
#include "cli/command_list.h"
#include "cli/model_flags.h"
#include "cli/text_stream.h"
#include "io/atomic_file.h"
#include "text/gguf_tokenizer.h"

namespace forge::cli {
namespace {

class TokenizeCommand : public Command {
 public:
  std::string Name() const override { return "tokenize"; }
  std::string Summary() const override { return "Show the tokens of a text, or the text of tokens."; }
  std::string Example() const override { return "forge tokenize models/starter/base --text \"m 32    =\""; }
  void AddFlags(FlagSet& flags) override {
    flags.AddPositional("MODEL", name_, "A model folder, tokenizer.json or GGUF file.");
    flags.AddText("--text", text_, "The text.");
    flags.AddText("--file", file_, "File with the text.", "file");
    flags.AddList("--decode", decode_, "Ids to turn into text.");
    flags.AddSwitch("--special", special_, "Read control tokens in the text (<|im_end|>) as such.");
    model_.AddFolderTo(flags);
  }

  int Run(const FlagSet& flags, Terminal& terminal) override {
    if (flags.Given("--text") + flags.Given("--file") + flags.Given("--decode") != 1)
      throw Error({.kind = ErrorKind::kUsage,
                   .what = "forge tokenize needs one thing to work on",
                   .why = "give exactly one of --text, --file and --decode",
                   .fix = "forge tokenize MODEL --text \"Hello\""});
    const auto tokenizer = text::LoadTokenizer(model_.Resolve(name_));
    std::vector<int> ids;
    if (flags.Given("--decode")) {
      ids = ParseIds(*tokenizer);
    } else {
      ids = tokenizer->Encode(flags.Given("--file") ? io::ReadFile(file_) : text_, special_);
    }
    io::Json pieces = io::Json::array();
    std::string lines;
    for (const int id : ids) {
      const std::string bytes = tokenizer->TokenBytes(id);
      pieces.push_back(bytes);
      lines += fmt::format("{:>8}  {}\n", id, Visible(bytes));
    }
    const std::string text = tokenizer->Decode(ids);
    terminal.PrintJson({{"ids", ids}, {"pieces", pieces}, {"text", text}});
    terminal.Print(flags.Given("--decode")
                       ? text + "\n"
                       : fmt::format("{}\n{}{} tokens\n", fmt::join(ids, ","), lines, ids.size()));
    return 0;
  }

 private:
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
    const bool whole = CleanUtf8(bytes, cut) == bytes;
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
  bool special_ = false;
  ModelFlags model_;
};

}  // namespace

std::unique_ptr<Command> MakeTokenizeCommand() { return std::make_unique<TokenizeCommand>(); }

}  // namespace forge::cli
