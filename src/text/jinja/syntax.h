// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "text/jinja/dialect.h"
#include "text/jinja/value.h"

namespace forge::text::jinja {

/// A piece of a template after lexing. Text between tags is one kText; `{{ }}` and `{% %}` are kTagBegin ..
/// kTagEnd with the tokens of the expression between them.
struct Token {
  enum class Kind {
    kText,
    kOutputBegin,
    kOutputEnd,
    kBlockBegin,
    kBlockEnd,
    kName,
    kString,
    kInteger,
    kFloat,
    kOperator,
    kEnd
  };
  Kind kind;
  std::string text;  // the text, the name, the string without its quotes, the digits, the operator
  int line;
};

/// Cuts a template as Jinja does. With `trims_blocks`, the newline after a block goes, and blanks before a
/// block at the start of its line. `-` takes all white space on its side, `+` keeps it; comments vanish; one
/// newline at the end of the template goes unless the dialect keeps it. Throws Error(kInput) with the line.
std::vector<Token> Lex(std::string_view source, const Dialect& dialect);

struct Expression;
using ExpressionPtr = std::unique_ptr<Expression>;

struct Expression {
  enum class Kind {
    kLiteral,     // value
    kName,        // name
    kList,        // children
    kTuple,       // children
    kDict,        // children: key, value, key, value
    kAttribute,   // children[0] . name
    kItem,        // children[0] [ children[1] ]
    kSlice,       // children[0] [ children[1] : children[2] : children[3] ], null where left out
    kCall,        // children[0] ( children[1..] , named )
    kFilter,      // children[0] | name ( children[1..], named )
    kTest,        // children[0] is name ( children[1..] )
    kNot,         // not children[0]
    kNegative,    // - children[0]
    kPositive,    // + children[0]
    kBinary,      // children[0] name children[1]; "and" and "or" evaluate the second only where it matters
    kComparison,  // children[0] operators[0] children[1] operators[1] children[2] ..
    kConditional  // children[1] if children[0] else children[2], which may be null
  };
  Kind kind;
  int line;
  std::string name;
  Value value;
  std::vector<ExpressionPtr> children;
  std::vector<std::pair<std::string, ExpressionPtr>> named;
  std::vector<std::string> operators;
};

struct Statement;
using Body = std::vector<Statement>;

struct Statement {
  enum class Kind {
    kText,    // text
    kOutput,  // expression
    kIf,      // branches (condition or null, body)
    kFor,     // names in expression, if condition; body, else_body
    kSet,     // names (or name.attribute) = expression, or = the text of body when expression is null
    kMacro,   // name(parameters with defaults): body
    kBreak,
    kContinue
  };
  Kind kind;
  int line;
  std::string text;  // of kText; the name of a macro; the attribute of a set
  std::vector<std::string> names;
  ExpressionPtr expression, condition;
  std::vector<std::pair<ExpressionPtr, Body>> branches;
  std::vector<std::pair<std::string, ExpressionPtr>> parameters;
  Body body, else_body;
};

/// Parses a template. What Jinja has and this engine has not is refused: Error(kInput) with line and
/// construct.
Body Parse(std::string_view source, const Dialect& dialect = {});

}  // namespace forge::text::jinja
