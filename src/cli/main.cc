// SPDX-License-Identifier: Apache-2.0
#include "cli/program.h"

int main(int argument_count, char** arguments) {
  return forge::cli::RunProgram({arguments + 1, arguments + argument_count});
}
