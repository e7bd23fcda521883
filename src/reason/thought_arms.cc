// SPDX-License-Identifier: Apache-2.0
#include "reason/thought_arms.h"

#include <algorithm>
#include <cctype>

namespace forge::reason {
namespace {

/// The last number in the text, normalised; empty if there is none.
std::string LastNumber(const std::string& text) {
  std::string last, current;
  const auto finish = [&] {
    while (!current.empty() && current.back() == '.') current.pop_back();
    if (current.find_first_of("0123456789") != std::string::npos) last = current;
    current.clear();
  };
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (std::isdigit(static_cast<unsigned char>(c)) != 0 || (c == '.' && !current.empty()) ||
        (c == '-' && current.empty()))
      current += c;
    else if (c != ',' || current.empty())
      finish();
  }
  finish();
  const std::size_t point = last.find('.');
  if (point != std::string::npos) {
    last.erase(last.find_last_not_of('0') + 1);
    if (last.back() == '.') last.pop_back();
  }
  return last;
}

}  // namespace

bool IsRight(const std::string& answer, const std::string& gold) {
  if (answer == gold) return true;
  const std::string number = LastNumber(gold);
  return number == gold && LastNumber(answer) == number;
}

std::vector<bool> RunArm(const ThinkingModel& thinker, const std::vector<Question>& questions, Arm arm) {
  std::vector<std::vector<int>> thoughts;
  if (arm == Arm::kThought || arm == Arm::kShuffled) thoughts = Think(thinker, questions, false, 0);
  if (arm == Arm::kShuffled) std::rotate(thoughts.begin(), thoughts.begin() + 1, thoughts.end());
  if (arm == Arm::kFiller)
    thoughts.assign(questions.size(),
                    std::vector<int>(static_cast<std::size_t>(thinker.format.thought_length),
                                     thinker.tokenizer->Encode(".").front()));
  const std::vector<std::string> answers = Answer(thinker, questions, thoughts);
  std::vector<bool> right;
  for (std::size_t i = 0; i < questions.size(); ++i)
    right.push_back(IsRight(answers[i], questions[i].answer));
  return right;
}

}  // namespace forge::reason
