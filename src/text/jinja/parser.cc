// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <set>

#include "base/error.h"
#include "text/jinja/syntax.h"

namespace forge::text::jinja {
namespace {

constexpr int kMaxDepth = 200;  // of nested expressions and blocks: bounds the stack

using Kind = Expression::Kind;

/// Recursive descent, lowest precedence first, as in Jinja: if-else, or, and, not, comparisons, + -, ~, * /
/// // %, unary, **, filters and tests, then names with their attributes, items and calls.
class Parser {
 public:
  Parser(std::vector<Token> tokens, const Dialect& dialect) : tokens_(std::move(tokens)), dialect_(dialect) {}

  Body ParseTemplate() {
    Body body = ParseBody({});
    if (Now().kind != Token::Kind::kEnd) Refuse("this tag ends nothing");
    return body;
  }

 private:
  class Depth {
   public:
    explicit Depth(Parser& parser) : depth_(parser.depth_) {
      if (++depth_ > kMaxDepth) parser.Refuse(fmt::format("it is nested more than {} deep", kMaxDepth));
    }
    ~Depth() { --depth_; }

   private:
    int& depth_;
  };

  [[noreturn]] void Refuse(const std::string& why) const {
    throw Error({.what = fmt::format("cannot use {}, line {}", dialect_.what, Now().line),
                 .why = why,
                 .fix = dialect_.fix + "; forge knows the part of Jinja that chat templates use"});
  }

  const Token& Now() const { return tokens_[position_]; }
  const Token& Next() const { return tokens_[std::min(position_ + 1, tokens_.size() - 1)]; }
  Token Take() { return position_ + 1 < tokens_.size() ? tokens_[position_++] : tokens_[position_]; }
  bool IsOperator(std::string_view text) const {
    return Now().kind == Token::Kind::kOperator && Now().text == text;
  }
  bool IsName(std::string_view text) const { return Now().kind == Token::Kind::kName && Now().text == text; }
  bool TakeOperator(std::string_view text) { return IsOperator(text) && (Take(), true); }
  bool TakeName(std::string_view text) { return IsName(text) && (Take(), true); }
  void Expect(std::string_view text) {
    if (!TakeOperator(text)) Refuse(fmt::format("'{}' is expected, not '{}'", text, Now().text));
  }
  std::string ExpectName() {
    if (Now().kind != Token::Kind::kName) Refuse(fmt::format("a name is expected, not '{}'", Now().text));
    return Take().text;
  }
  void ExpectBlockEnd() {
    if (Now().kind != Token::Kind::kBlockEnd)
      Refuse(fmt::format("the tag should end before '{}'", Now().text));
    Take();
  }

  // ---- statements

  /// Statements up to a block whose first word is one of `ends`; that block's begin is taken, its word is
  /// not.
  Body ParseBody(const std::set<std::string>& ends) {
    const Depth depth(*this);
    Body body;
    for (;;) {
      const int line = Now().line;
      switch (Now().kind) {
        case Token::Kind::kText: {
          Statement text{.kind = Statement::Kind::kText, .line = line};
          text.text = Take().text;
          body.push_back(std::move(text));
          break;
        }
        case Token::Kind::kOutputBegin: {
          Take();
          Statement output{.kind = Statement::Kind::kOutput, .line = line};
          output.expression = ParseTuple();
          if (Now().kind != Token::Kind::kOutputEnd)
            Refuse(fmt::format("the tag should end before '{}'", Now().text));
          Take();
          body.push_back(std::move(output));
          break;
        }
        case Token::Kind::kBlockBegin: {
          if (ends.contains(Next().text)) {
            Take();
            return body;
          }
          Take();
          ParseBlock(line, body);
          break;
        }
        default:
          if (!ends.empty()) Refuse(fmt::format("the template ends before {{% {} %}}", *ends.begin()));
          return body;
      }
    }
  }

  void ParseBlock(int line, Body& body) {
    const std::string word = ExpectName();
    if (word == "if") return body.push_back(ParseIf(line));
    if (word == "for") return body.push_back(ParseFor(line));
    if (word == "set") return body.push_back(ParseSet(line));
    if (word == "macro") return body.push_back(ParseMacro(line));
    if (word == "break" || word == "continue") {
      if (loops_ == 0) Refuse("{% " + word + " %} stands outside a loop");
      ExpectBlockEnd();
      body.push_back(
          {.kind = word == "break" ? Statement::Kind::kBreak : Statement::Kind::kContinue, .line = line});
      return;
    }
    if (word == "generation") {  // marks the assistant's text for training; nothing to do when rendering
      ExpectBlockEnd();
      Body inner = ParseBody({"endgeneration"});
      End("endgeneration");
      std::move(inner.begin(), inner.end(), std::back_inserter(body));
      return;
    }
    --position_;
    Refuse("{% " + word + " %} is not supported");
  }

  void End(const std::string& word) {
    if (!TakeName(word)) Refuse("{% " + word + " %} is missing");
    ExpectBlockEnd();
  }

  Statement ParseIf(int line) {
    Statement statement{.kind = Statement::Kind::kIf, .line = line};
    for (bool more = true; more;) {
      ExpressionPtr condition = ParseTuple();
      ExpectBlockEnd();
      Body body = ParseBody({"elif", "else", "endif"});
      statement.branches.emplace_back(std::move(condition), std::move(body));
      more = TakeName("elif");
    }
    if (TakeName("else")) {
      ExpectBlockEnd();
      statement.branches.emplace_back(nullptr, ParseBody({"endif"}));
    }
    End("endif");
    return statement;
  }

  Statement ParseFor(int line) {
    Statement statement{.kind = Statement::Kind::kFor, .line = line};
    do statement.names.push_back(ExpectName());
    while (TakeOperator(","));
    if (!TakeName("in")) Refuse("'in' is expected in {% for %}");
    statement.expression = ParseTuple(false);
    if (TakeName("if")) statement.condition = ParseExpression();
    if (IsName("recursive")) Refuse("{% for .. recursive %} is not supported");
    ExpectBlockEnd();
    ++loops_;
    statement.body = ParseBody({"else", "endfor"});
    --loops_;
    if (TakeName("else")) {
      ExpectBlockEnd();
      statement.else_body = ParseBody({"endfor"});
    }
    End("endfor");
    return statement;
  }

  Statement ParseSet(int line) {
    Statement statement{.kind = Statement::Kind::kSet, .line = line};
    statement.names.push_back(ExpectName());
    if (TakeOperator(".")) {
      statement.text = ExpectName();
    } else {
      while (TakeOperator(",")) statement.names.push_back(ExpectName());
    }
    if (TakeOperator("=")) {
      statement.expression = ParseTuple();
      ExpectBlockEnd();
      return statement;
    }
    if (IsOperator("|")) Refuse("{% set name | filter %} is not supported");
    ExpectBlockEnd();
    statement.body = ParseBody({"endset"});
    End("endset");
    return statement;
  }

  Statement ParseMacro(int line) {
    Statement statement{.kind = Statement::Kind::kMacro, .line = line};
    statement.text = ExpectName();
    Expect("(");
    while (!IsOperator(")")) {
      std::string name = ExpectName();
      statement.parameters.emplace_back(std::move(name), TakeOperator("=") ? ParseExpression() : nullptr);
      if (!TakeOperator(",")) break;
    }
    Expect(")");
    ExpectBlockEnd();
    const int loops = std::exchange(loops_, 0);  // a macro's body is not in the loop around the macro
    statement.body = ParseBody({"endmacro"});
    loops_ = loops;
    End("endmacro");
    return statement;
  }

  // ---- expressions

  ExpressionPtr Make(Kind kind, std::string name = "") const {
    auto expression = std::make_unique<Expression>();
    expression->kind = kind;
    expression->line = Now().line;
    expression->name = std::move(name);
    return expression;
  }
  template <class... Children>
  ExpressionPtr Join(Kind kind, std::string name, Children... children) const {
    ExpressionPtr expression = Make(kind, std::move(name));
    (expression->children.push_back(std::move(children)), ...);
    return expression;
  }

  /// An expression, or a tuple of several without brackets.
  ExpressionPtr ParseTuple(bool with_condition = true) {
    ExpressionPtr first = with_condition ? ParseExpression() : ParseOr();
    if (!IsOperator(",")) return first;
    ExpressionPtr tuple = Join(Kind::kTuple, "", std::move(first));
    while (TakeOperator(",")) {
      if (Now().kind == Token::Kind::kBlockEnd || Now().kind == Token::Kind::kOutputEnd) break;
      tuple->children.push_back(with_condition ? ParseExpression() : ParseOr());
    }
    return tuple;
  }

  ExpressionPtr ParseExpression() {
    const Depth depth(*this);
    ExpressionPtr value = ParseOr();
    while (TakeName("if")) {
      ExpressionPtr condition = ParseOr();
      ExpressionPtr otherwise = TakeName("else") ? ParseExpression() : nullptr;
      value = Join(Kind::kConditional, "", std::move(condition), std::move(value), std::move(otherwise));
    }
    return value;
  }

  ExpressionPtr ParseOr() {
    ExpressionPtr left = ParseAnd();
    while (TakeName("or")) left = Join(Kind::kBinary, "or", std::move(left), ParseAnd());
    return left;
  }
  ExpressionPtr ParseAnd() {
    ExpressionPtr left = ParseNot();
    while (TakeName("and")) left = Join(Kind::kBinary, "and", std::move(left), ParseNot());
    return left;
  }
  ExpressionPtr ParseNot() {
    const Depth depth(*this);
    if (IsName("not") && !(Next().kind == Token::Kind::kName && Next().text == "in")) {
      Take();
      return Join(Kind::kNot, "", ParseNot());
    }
    return ParseComparison();
  }

  std::string TakeComparison() {
    for (const char* name : {"==", "!=", "<=", ">=", "<", ">"})
      if (TakeOperator(name)) return name;
    if (TakeName("in")) return "in";
    if (IsName("not") && Next().kind == Token::Kind::kName && Next().text == "in") {
      Take();
      Take();
      return "not in";
    }
    return "";
  }
  ExpressionPtr ParseComparison() {
    ExpressionPtr first = ParseSum();
    std::string name = TakeComparison();
    if (name.empty()) return first;
    ExpressionPtr comparison = Join(Kind::kComparison, "", std::move(first));
    for (; !name.empty(); name = TakeComparison()) {
      comparison->operators.push_back(name);
      comparison->children.push_back(ParseSum());
    }
    return comparison;
  }

  ExpressionPtr ParseSum() {
    ExpressionPtr left = ParseConcatenation();
    while (IsOperator("+") || IsOperator("-")) {
      std::string name = Take().text;
      left = Join(Kind::kBinary, std::move(name), std::move(left), ParseConcatenation());
    }
    return left;
  }
  ExpressionPtr ParseConcatenation() {
    ExpressionPtr left = ParseProduct();
    while (TakeOperator("~")) left = Join(Kind::kBinary, "~", std::move(left), ParseProduct());
    return left;
  }
  ExpressionPtr ParseProduct() {
    ExpressionPtr left = ParsePower();
    while (IsOperator("*") || IsOperator("/") || IsOperator("//") || IsOperator("%")) {
      std::string name = Take().text;
      left = Join(Kind::kBinary, std::move(name), std::move(left), ParsePower());
    }
    return left;
  }
  /// Weaker than a sign in front and from the left, unlike Python's: -2 ** 2 is 4.
  ExpressionPtr ParsePower() {
    ExpressionPtr left = ParseUnary();
    while (TakeOperator("**")) left = Join(Kind::kBinary, "**", std::move(left), ParseUnary());
    return left;
  }
  ExpressionPtr ParseUnary(bool with_filters = true) {
    const Depth depth(*this);
    ExpressionPtr value;
    if (TakeOperator("-"))
      value = Join(Kind::kNegative, "", ParseUnary(false));
    else if (TakeOperator("+"))
      value = Join(Kind::kPositive, "", ParseUnary(false));
    else
      value = ParsePostfix(ParsePrimary());
    return with_filters ? ParseFiltersAndTests(std::move(value)) : std::move(value);
  }

  ExpressionPtr ParseFiltersAndTests(ExpressionPtr value) {
    for (;;) {
      if (TakeOperator("|")) {
        std::string name = ExpectName();
        value = Join(Kind::kFilter, std::move(name), std::move(value));
        if (TakeOperator("(")) ParseArguments(*value);
      } else if (TakeName("is")) {
        const bool negated = TakeName("not");
        std::string name = ExpectName();
        value = Join(Kind::kTest, std::move(name), std::move(value));
        if (TakeOperator("("))
          ParseArguments(*value);
        else if (StartsOperand())
          value->children.push_back(ParsePostfix(ParsePrimary()));
        if (negated) value = Join(Kind::kNot, "", std::move(value));
      } else if (IsOperator("(") && value->kind != Kind::kTest) {
        value = ParsePostfix(std::move(value));
      } else {
        return value;
      }
    }
  }

  /// Whether a test's argument without brackets follows, as in `x is divisibleby 3`.
  bool StartsOperand() const {
    static const std::set<std::string> kWords{"else", "or", "and", "not", "in", "is", "if"};
    if (Now().kind == Token::Kind::kName) return !kWords.contains(Now().text);
    return Now().kind == Token::Kind::kString || Now().kind == Token::Kind::kInteger ||
           Now().kind == Token::Kind::kFloat || IsOperator("[") || IsOperator("{");
  }

  void ParseArguments(Expression& call) {
    while (!IsOperator(")")) {
      if (IsOperator("*") || IsOperator("**")) Refuse("arguments with * and ** are not supported");
      if (Now().kind == Token::Kind::kName && Next().kind == Token::Kind::kOperator && Next().text == "=") {
        std::string name = Take().text;
        Take();
        call.named.emplace_back(std::move(name), ParseExpression());
      } else {
        if (!call.named.empty()) Refuse("an argument without a name follows one with a name");
        call.children.push_back(ParseExpression());
      }
      if (!TakeOperator(",")) break;
    }
    Expect(")");
  }

  ExpressionPtr ParsePostfix(ExpressionPtr value) {
    for (;;) {
      if (TakeOperator(".")) {
        if (Now().kind == Token::Kind::kInteger)
          value = Join(Kind::kItem, "", std::move(value), ParsePrimary());
        else
          value = Join(Kind::kAttribute, ExpectName(), std::move(value));
      } else if (TakeOperator("[")) {
        value = ParseItem(std::move(value));
      } else if (TakeOperator("(")) {
        value = Join(Kind::kCall, "", std::move(value));
        ParseArguments(*value);
      } else {
        return value;
      }
    }
  }

  ExpressionPtr ParseItem(ExpressionPtr value) {
    ExpressionPtr parts[3];
    int part = 0;
    while (!IsOperator("]")) {
      if (TakeOperator(":")) {
        if (++part > 2) Refuse("a slice has at most two ':'");
      } else {
        if (parts[part]) Refuse(fmt::format("']' is expected, not '{}'", Now().text));
        parts[part] = ParseExpression();
      }
    }
    Expect("]");
    if (part == 0 && !parts[0]) Refuse("there is nothing between [ and ]");
    if (part == 0) return Join(Kind::kItem, "", std::move(value), std::move(parts[0]));
    return Join(Kind::kSlice, "", std::move(value), std::move(parts[0]), std::move(parts[1]),
                std::move(parts[2]));
  }

  ExpressionPtr Literal(Value value) const {
    ExpressionPtr literal = Make(Kind::kLiteral);
    literal->value = std::move(value);
    return literal;
  }

  ExpressionPtr ParsePrimary() {
    const Depth depth(*this);
    const Token token = Take();
    switch (token.kind) {
      case Token::Kind::kString: {
        std::string text = token.text;
        while (Now().kind == Token::Kind::kString) text += Take().text;
        return Literal(std::move(text));
      }
      case Token::Kind::kInteger: {
        std::int64_t number = 0;
        const auto [end, error] =
            std::from_chars(token.text.data(), token.text.data() + token.text.size(), number);
        if (error != std::errc{}) Refuse("the number " + token.text + " is too large");
        return Literal(number);
      }
      case Token::Kind::kFloat:
        return Literal(std::strtod(token.text.c_str(), nullptr));
      case Token::Kind::kName:
        if (token.text == "true" || token.text == "True") return Literal(true);
        if (token.text == "false" || token.text == "False") return Literal(false);
        if (token.text == "none" || token.text == "None") return Literal(None{});
        return Make(Kind::kName, token.text);
      case Token::Kind::kOperator:
        if (token.text == "(") return ParseBracket();
        if (token.text == "[") return ParseList();
        if (token.text == "{") return ParseDict();
        break;
      default:
        break;
    }
    --position_;
    Refuse(fmt::format("a value is expected, not '{}'", token.text));
  }

  ExpressionPtr ParseBracket() {
    if (TakeOperator(")")) return Make(Kind::kTuple);
    ExpressionPtr first = ParseExpression();
    if (TakeOperator(")")) return first;
    ExpressionPtr tuple = Join(Kind::kTuple, "", std::move(first));
    while (TakeOperator(",") && !IsOperator(")")) tuple->children.push_back(ParseExpression());
    Expect(")");
    return tuple;
  }
  ExpressionPtr ParseList() {
    ExpressionPtr list = Make(Kind::kList);
    while (!IsOperator("]")) {
      list->children.push_back(ParseExpression());
      if (!TakeOperator(",")) break;
    }
    Expect("]");
    return list;
  }
  ExpressionPtr ParseDict() {
    ExpressionPtr dict = Make(Kind::kDict);
    while (!IsOperator("}")) {
      dict->children.push_back(ParseExpression());
      Expect(":");
      dict->children.push_back(ParseExpression());
      if (!TakeOperator(",")) break;
    }
    Expect("}");
    return dict;
  }

  std::vector<Token> tokens_;
  const Dialect& dialect_;
  std::size_t position_ = 0;
  int depth_ = 0, loops_ = 0;
};

}  // namespace

Body Parse(std::string_view source, const Dialect& dialect) {
  return Parser(Lex(source, dialect), dialect).ParseTemplate();
}

}  // namespace forge::text::jinja
