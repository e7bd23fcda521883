// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <exception>
#include <string>

namespace forge {

/// What kind of trouble it is; the value is the exit code of the program.
enum class ErrorKind {
  kUsage = 2,         // a wrong flag or argument
  kInput = 3,         // a file, model or config that cannot be used as it is
  kEnvironment = 4,   // something missing on this machine: disk space, libtorch, a GPU, a feature not built
  kInterrupted = 130  // stopped by Ctrl-C or SIGTERM; the work done so far is kept
};

/// The one exception class of forge. Shown to the user once, in main, as
///   error: <what>
///     why: <why>
///     fix: <fix>
/// `what` names the object that failed, `why` the rule and the value seen, `fix` one command or setting.
class Error : public std::exception {
 public:
  struct Fields {
    ErrorKind kind = ErrorKind::kInput;
    std::string what;
    std::string why;
    std::string fix;
  };
  explicit Error(Fields fields);

  const char* what() const noexcept override { return text_.c_str(); }
  const Fields& fields() const { return fields_; }
  ErrorKind kind() const { return fields_.kind; }
  int exit_code() const { return static_cast<int>(fields_.kind); }

 private:
  Fields fields_;
  std::string text_;
};

}  // namespace forge
