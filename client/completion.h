#pragma once

#include <string>
#include <string_view>
#include <vector>

// The scripts by which shells complete the words of a command line.
namespace tokend::client {

struct Word {
  std::string text;  // a command, or an option with its dashes
  std::string description;
  bool takes_value = false;
};

// The words that may follow a command.
struct CommandWords {
  std::string path;  // such as "tokenctl audit find"
  std::vector<Word> commands;
  std::vector<Word> options;
};

// The script for `shell`: "bash", "zsh" or "fish". The first of `commands` is the program.
std::string CompletionScript(std::string_view shell, const std::vector<CommandWords>& commands);

}  // namespace tokend::client
