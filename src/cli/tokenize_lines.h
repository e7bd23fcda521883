// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdio>

#include "base/stop_token.h"
#include "text/tokenizer.h"

namespace forge::cli {

struct LineOptions {
  bool decode = false;   // ids to text instead of text to ids
  bool special = false;  // add what the tokenizer's template puts around a text; decode: take it away
  bool plain = false;    // control tokens in the text are plain text
};

/// Reads lines from the file descriptor `input` until its end and writes one line for each to `output`:
///   encode   a JSON string   ->  a JSON array of ids
///   decode   a JSON array of ids  ->  a JSON string
/// Bytes that are not UTF-8 may stand in a string as they are or as the escapes \udc80 to \udcff; they are
/// written as these escapes (text/json_text.h). What is there is answered before more is waited for, so that
/// two programs can talk line by line. A line may be as long as memory holds.
///
/// Throws Error(kInput) with the number of the line and the byte in it for a line that is something else (an
/// empty one, too) or an id that is not a token; the lines before it have been answered by then. Throws
/// Error(kInterrupted) between lines once `stop` asks for it.
void TokenizeLines(const text::Tokenizer& tokenizer, const LineOptions& options, int input, std::FILE* output,
                   const StopToken& stop);

}  // namespace forge::cli
