// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/error.h"
#include "cli/command_list.h"

namespace forge::cli {
namespace {

struct Entry {
  std::string name, summary;
  std::vector<FlagSet::Record> records;
};

std::vector<Entry> AllEntries() {
  std::vector<Entry> entries;
  for (const CommandEntry& command : Commands()) {
    const std::unique_ptr<Command> made = command.make();
    FlagSet flags;
    made->AddFlags(flags);
    entries.push_back({command.name, made->Summary(), flags.records()});
  }
  return entries;
}

std::vector<std::string> Flags(const Entry& entry) {
  std::vector<std::string> flags{"--help", "--json"};
  for (const FlagSet::Record& record : entry.records)
    if (!record.positional) flags.push_back(record.flag);
  return flags;
}

std::string Quoted(std::string text) {
  for (std::size_t i = 0; (i = text.find('\'', i)) != std::string::npos; i += 4) text.replace(i, 1, "'\\''");
  return "'" + text + "'";
}

std::string Bash(const std::vector<Entry>& entries) {
  std::string cases, words, names;
  for (const Entry& entry : entries) {
    names += entry.name + " ";
    cases += fmt::format("    {}) flags=\"{}\" ;;\n", entry.name, fmt::join(Flags(entry), " "));
    for (const FlagSet::Record& record : entry.records)
      if (!record.words.empty())
        words += fmt::format("    {}:{}) COMPREPLY=($(compgen -W \"{}\" -- \"$word\")); return ;;\n",
                             entry.name, record.flag, fmt::join(record.words, " "));
  }
  return fmt::format(
      "# forge completion for bash: source <(forge completion bash)\n"
      "_forge() {{\n  local word=\"${{COMP_WORDS[COMP_CWORD]}}\" previous=\"${{COMP_WORDS[COMP_CWORD-1]}}\" "
      "command=\"${{COMP_WORDS[1]}}\" flags=\"\"\n"
      "  if [ \"$COMP_CWORD\" = 1 ]; then COMPREPLY=($(compgen -W \"{}--help --version\" -- \"$word\")); "
      "return; fi\n"
      "  case \"$command:$previous\" in\n{}  esac\n  case \"$command\" in\n{}  esac\n"
      "  case \"$word\" in\n    -*) COMPREPLY=($(compgen -W \"$flags\" -- \"$word\")) ;;\n    *) "
      "COMPREPLY=($(compgen -f -- \"$word\")) ;;\n  esac\n}}\n"
      "complete -o filenames -F _forge forge\n",
      names, words, cases);
}

std::string Zsh(const std::vector<Entry>& entries) {
  std::string commands, cases;
  for (const Entry& entry : entries) {
    commands += fmt::format("    {}\n", Quoted(entry.name + ":" + entry.summary));
    std::string arguments;
    for (const FlagSet::Record& record : entry.records) {
      if (record.positional) continue;
      std::string help = record.help;
      for (const char c : {'[', ']', ':'}) std::replace(help.begin(), help.end(), c, ' ');
      const std::string action = record.type.empty() ? ""
                                 : record.words.empty()
                                     ? ":" + record.type + ":_files"
                                     : fmt::format(":{}:({})", record.type, fmt::join(record.words, " "));
      arguments += " " + Quoted(record.flag + "[" + help + "]" + action);
    }
    cases += fmt::format("    {}) _arguments '--help[Help]' '--json[JSON result]'{} '*:file:_files' ;;\n",
                         entry.name, arguments);
  }
  return fmt::format(
      "#compdef forge\n# forge completion for zsh: forge completion zsh > \"${{fpath[1]}}/_forge\"\n"
      "_forge() {{\n  local -a commands\n  commands=(\n{}  )\n"
      "  if (( CURRENT == 2 )); then _describe command commands; return; fi\n"
      "  local command=$words[2]\n  shift words; (( CURRENT-- ))\n  case $command in\n{}  esac\n}}\n"
      "if [ \"$funcstack[1]\" = _forge ]; then _forge \"$@\"; else compdef _forge forge; fi\n",
      commands, cases);
}

std::string Fish(const std::vector<Entry>& entries) {
  std::string text =
      "# forge completion for fish: forge completion fish > ~/.config/fish/completions/forge.fish\n";
  for (const Entry& entry : entries) {
    text += fmt::format("complete -c forge -n __fish_use_subcommand -a {} -d {}\n", entry.name,
                        Quoted(entry.summary));
    for (const FlagSet::Record& record : entry.records) {
      if (record.positional) continue;
      text +=
          fmt::format("complete -c forge -n '__fish_seen_subcommand_from {}' -l {} {}-d {}\n", entry.name,
                      record.flag.substr(2),
                      record.type.empty() ? ""
                      : record.words.empty()
                          ? "-r "
                          : fmt::format("-x -a {} ", Quoted(fmt::format("{}", fmt::join(record.words, " ")))),
                      Quoted(record.help));
    }
  }
  return text;
}

class CompletionCommand : public Command {
 public:
  std::string Name() const override { return "completion"; }
  std::string Summary() const override { return "Print the completion script of a shell."; }
  std::string Example() const override { return "source <(forge completion bash)"; }
  void AddFlags(FlagSet& flags) override { flags.AddPositional("SHELL", shell_, "bash, zsh or fish"); }
  int Run(const FlagSet&, Terminal& terminal) override {
    const std::vector<Entry> entries = AllEntries();
    if (shell_ == "bash")
      terminal.Print(Bash(entries));
    else if (shell_ == "zsh")
      terminal.Print(Zsh(entries));
    else if (shell_ == "fish")
      terminal.Print(Fish(entries));
    else
      throw Error({.kind = ErrorKind::kUsage,
                   .what = "no completion for the shell " + shell_,
                   .why = "forge has scripts for bash, zsh and fish",
                   .fix = "forge completion bash"});
    return 0;
  }

 private:
  std::string shell_;
};

}  // namespace

std::unique_ptr<Command> MakeCompletionCommand() { return std::make_unique<CompletionCommand>(); }

}  // namespace forge::cli
