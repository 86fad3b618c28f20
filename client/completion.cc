#include "client/completion.h"

#include <absl/strings/str_cat.h>
#include <absl/strings/str_replace.h>

namespace tokend::client {
namespace {

std::string Quoted(const std::string& text) {
  return absl::StrCat("'", absl::StrReplaceAll(text, {{"'", "'\\''"}}), "'");
}

// The paths of all commands but the program, as alternatives of a shell's `case`. By these all three scripts
// find the command that the cursor is in: a word that makes such a path with the command before it belongs to
// the command.
std::string Paths(const std::vector<CommandWords>& commands, const std::string& separator) {
  std::string paths;
  for (std::size_t i = 1; i < commands.size(); ++i) {
    absl::StrAppend(&paths, i == 1 ? "" : separator, Quoted(commands[i].path));
  }
  return paths;
}

// One branch of a `case` for each command, which runs `action` with its words.
std::string Branches(const std::vector<CommandWords>& commands, const std::string& action) {
  std::string branches;
  for (const CommandWords& command : commands) {
    absl::StrAppend(&branches, "    ", Quoted(command.path), ") ", action);
    for (const auto* words : {&command.commands, &command.options}) {
      for (const Word& word : *words) absl::StrAppend(&branches, " ", word.text);
    }
    absl::StrAppend(&branches, action.ends_with('(') ? " )" : "", " ;;\n");
  }
  return branches;
}

std::string Bash(const std::vector<CommandWords>& commands) {
  return absl::StrCat(
      "_tokenctl() {\n"
      "  local at=tokenctl word\n"
      "  local -a candidates=()\n"
      "  for word in \"${COMP_WORDS[@]:1:COMP_CWORD-1}\"; do\n"
      "    case \"$at $word\" in\n"
      "      ",
      Paths(commands, " | "),
      ") at+=\" $word\" ;;\n"
      "    esac\n"
      "  done\n"
      "  case $at in\n",
      Branches(commands, "candidates=("),
      "  esac\n"
      "  COMPREPLY=($(compgen -W \"${candidates[*]}\" -- \"${COMP_WORDS[COMP_CWORD]}\"))\n"
      "}\n"
      "complete -o default -F _tokenctl tokenctl\n");
}

std::string Zsh(const std::vector<CommandWords>& commands) {
  return absl::StrCat(
      "#compdef tokenctl\n"
      "_tokenctl() {\n"
      "  local at=tokenctl word\n"
      "  for word in \"${(@)words[2,CURRENT-1]}\"; do\n"
      "    case \"$at $word\" in\n"
      "      ",
      Paths(commands, " | "),
      ") at+=\" $word\" ;;\n"
      "    esac\n"
      "  done\n"
      "  case $at in\n",
      Branches(commands, "compadd --"),
      "  esac\n"
      "  _files\n"
      "}\n"
      "if [[ ${funcstack[1]} == _tokenctl ]]; then\n"
      "  _tokenctl \"$@\"\n"
      "else\n"
      "  compdef _tokenctl tokenctl\n"
      "fi\n");
}

std::string Fish(const std::vector<CommandWords>& commands) {
  std::string script = absl::StrCat(
      "function __tokenctl_at\n"
      "  set -l at tokenctl\n"
      "  for word in (commandline -opc)[2..-1]\n"
      "    switch \"$at $word\"\n"
      "      case ",
      Paths(commands, " "),
      "\n"
      "        set at \"$at $word\"\n"
      "    end\n"
      "  end\n"
      "  test \"$at\" = \"$argv\"\n"
      "end\n");
  for (const CommandWords& command : commands) {
    const std::string here = absl::StrCat("complete -c tokenctl -n '__tokenctl_at ", command.path, "' ");
    for (const Word& word : command.commands) {
      absl::StrAppend(&script, here, "-f -a ", word.text, " -d ", Quoted(word.description), "\n");
    }
    for (const Word& word : command.options) {
      absl::StrAppend(&script, here, "-l ", word.text.substr(2), word.takes_value ? " -r" : "", " -d ",
                      Quoted(word.description), "\n");
    }
  }
  return script;
}

}  // namespace

std::string CompletionScript(std::string_view shell, const std::vector<CommandWords>& commands) {
  if (shell == "bash") return Bash(commands);
  return shell == "zsh" ? Zsh(commands) : Fish(commands);
}

}  // namespace tokend::client
