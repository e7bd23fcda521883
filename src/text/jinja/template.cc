// SPDX-License-Identifier: Apache-2.0
#include "text/jinja/template.h"

#include <fmt/format.h>

#include <ctime>
#include <exception>
#include <set>
#include <stdexcept>

#include "base/error.h"
#include "text/jinja/builtins.h"
#include "text/jinja/syntax.h"

namespace forge::text::jinja {
namespace {

using Kind = Expression::Kind;
using Clock = std::function<std::string(const std::string&)>;

constexpr std::size_t kMostOutput = 64u << 20;
constexpr std::int64_t kMostTurns = 1'000'000;
constexpr int kMostCalls = 100;  // of macros inside each other

std::string LocalTime(const std::string& format) {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  localtime_r(&now, &parts);
  char buffer[256];
  return {buffer, std::strftime(buffer, sizeof buffer, format.c_str(), &parts)};
}

class Interpreter {
 public:
  Interpreter(const Clock& clock, const Dialect& dialect, const io::OrderedJson& variables)
      : clock_(clock), dialect_(dialect) {
    Dict globals;
    for (const auto& [name, value] : variables.items()) Put(globals, name, Value::FromJson(value));
    scopes_.push_back(std::move(globals));
    applications_ = {[this](const std::string& name, const Value& input, const Arguments& arguments) {
                       return Filter(name, input, arguments);
                     },
                     [](const std::string& name, const Value& input, const Arguments& arguments) {
                       return ApplyTest(name, input, arguments);
                     }};
    AddGlobals();
  }

  std::string Render(const Body& body) {
    std::string out;
    Guard([&] { Run(body, out); });
    return out;
  }

 private:
  enum class Flow { kOn, kBreak, kContinue };

  /// Turns trouble into an Error with the line that was last worked on.
  template <class Work>
  void Guard(const Work& work) {
    const auto refuse = [&](const std::string& why) {
      throw Error({.what = fmt::format("cannot apply {}, line {}", dialect_.what, line_),
                   .why = why,
                   .fix = dialect_.use});
    };
    try {
      work();
    } catch (const RenderFailure& failure) {
      refuse(failure.why);
    } catch (const std::invalid_argument& failure) {
      refuse(failure.what());
    }
  }

  void AddGlobals() {
    globals_ = {{"raise_exception", Function([](const Arguments& a) -> Value {
                   Fail("the template says: " +
                        (a.positional.empty() ? std::string("nothing") : a.positional[0].Text()));
                 })},
                {"strftime_now", Function([this](const Arguments& a) -> Value {
                   return clock_(a.positional.empty() ? "%Y-%m-%d" : a.positional[0].Text());
                 })},
                {"range", Function([](const Arguments& a) -> Value { return Range(a); })},
                {"dict", Function([](const Arguments& a) -> Value { return a.named; })},
                {"namespace", Function([this](const Arguments& a) -> Value {
                   Value made(a.named);
                   if (!a.positional.empty() && a.positional[0].is_dict())
                     for (const auto& [key, value] : a.positional[0].dict())
                       Put(made.mutable_dict(), key, value);
                   namespaces_.push_back(made);
                   return made;
                 })}};
  }

  static Value Range(const Arguments& arguments) {
    std::int64_t bounds[3] = {0, 0, 1};
    const std::vector<Value>& given = arguments.positional;
    if (given.empty() || given.size() > 3) Fail("range takes one to three integers");
    for (std::size_t i = 0; i < given.size(); ++i) {
      if (!given[i].is_int()) Fail("range takes integers");
      bounds[given.size() == 1 ? 1 : i] = given[i].integer();
    }
    if (bounds[2] == 0) Fail("the step of range is 0");
    List list;
    std::int64_t number = bounds[0];
    while (bounds[2] > 0 ? number < bounds[1] : number > bounds[1]) {
      if (list.size() >= kMostTurns) Fail("a range is longer than a million numbers");
      list.emplace_back(number);
      if (__builtin_add_overflow(number, bounds[2], &number)) break;
    }
    return list;
  }

  // ---- statements

  Flow Run(const Body& body, std::string& out) {
    for (const Statement& statement : body) {
      line_ = statement.line;
      const Flow flow = Run(statement, out);
      if (out.size() > kMostOutput) Fail("the text is longer than 64 MiB");
      if (flow != Flow::kOn) return flow;
    }
    return Flow::kOn;
  }

  Flow Run(const Statement& statement, std::string& out) {
    switch (statement.kind) {
      case Statement::Kind::kText:
        out += statement.text;
        return Flow::kOn;
      case Statement::Kind::kOutput:
        out += Printed(Evaluate(*statement.expression)).Text();
        return Flow::kOn;
      case Statement::Kind::kIf:
        for (const auto& [condition, body] : statement.branches)
          if (!condition || Evaluate(*condition).Truth()) return Run(body, out);
        return Flow::kOn;
      case Statement::Kind::kFor:
        RunFor(statement, out);
        return Flow::kOn;
      case Statement::Kind::kSet:
        RunSet(statement);
        return Flow::kOn;
      case Statement::Kind::kMacro:
        Set(statement.text, MakeMacro(statement));
        return Flow::kOn;
      case Statement::Kind::kBreak:
        return Flow::kBreak;
      case Statement::Kind::kContinue:
        return Flow::kContinue;
    }
    return Flow::kOn;
  }

  /// Variables that are set inside belong to the scope and end with it.
  class Scope {
   public:
    explicit Scope(Interpreter& interpreter) : scopes_(interpreter.scopes_) { scopes_.emplace_back(); }
    ~Scope() { scopes_.pop_back(); }

   private:
    std::vector<Dict>& scopes_;
  };

  void Set(const std::string& name, Value value) { Put(scopes_.back(), name, std::move(value)); }

  void Unpack(const std::vector<std::string>& names, const Value& value) {
    if (names.size() == 1) return Set(names[0], value);
    const List parts = Entries(value);
    if (parts.size() != names.size()) Fail(fmt::format("{} values for {} names", parts.size(), names.size()));
    for (std::size_t i = 0; i < names.size(); ++i) Set(names[i], parts[i]);
  }

  void RunFor(const Statement& statement, std::string& out) {
    List entries = Entries(Evaluate(*statement.expression));
    if (statement.condition) {
      List kept;
      for (const Value& entry : entries) {
        const Scope scope(*this);
        Unpack(statement.names, entry);
        if (Evaluate(*statement.condition).Truth()) kept.push_back(entry);
      }
      entries = std::move(kept);
    }
    if (entries.empty()) {
      Run(statement.else_body, out);
      return;
    }
    for (std::size_t i = 0; i < entries.size(); ++i) {
      if (++turns_ > kMostTurns) Fail("the loops turn more than a million times");
      const Scope scope(*this);
      Unpack(statement.names, entries[i]);
      Set("loop", LoopValue(entries, i));
      if (Run(statement.body, out) == Flow::kBreak) break;
    }
  }

  Value LoopValue(const List& entries, std::size_t i) const {
    const auto number = [](std::size_t value) { return static_cast<std::int64_t>(value); };
    const std::size_t size = entries.size();
    return Dict{{"index", number(i + 1)},
                {"index0", number(i)},
                {"revindex", number(size - i)},
                {"revindex0", number(size - i - 1)},
                {"first", i == 0},
                {"last", i + 1 == size},
                {"length", number(size)},
                {"depth", number(1)},  // counts recursive loops only
                {"depth0", number(0)},
                {"previtem", i > 0 ? entries[i - 1] : Value(Undefined{"loop.previtem"})},
                {"nextitem", i + 1 < size ? entries[i + 1] : Value(Undefined{"loop.nextitem"})},
                {"cycle", Function([i](const Arguments& a) -> Value {
                   if (a.positional.empty()) Fail("loop.cycle needs values");
                   return a.positional[i % a.positional.size()];
                 })}};
  }

  void RunSet(const Statement& statement) {
    Value value;
    if (statement.expression) {
      value = Evaluate(*statement.expression);
    } else {
      std::string text;
      const Scope scope(*this);
      Run(statement.body, text);
      value = text;
    }
    if (statement.text.empty()) return Unpack(statement.names, value);
    Value target = Look(statement.names[0]);
    bool is_namespace = false;
    for (const Value& made : namespaces_)
      is_namespace = is_namespace || (target.is_dict() && &made.dict() == &target.dict());
    if (!is_namespace)
      Fail(fmt::format("'{}' is no namespace, so '{}' of it cannot be set", statement.names[0],
                       statement.text));
    Put(target.mutable_dict(), statement.text, value);
  }

  /// A macro sees the variables of the template, not those of the place that calls it.
  class MacroFrame {
   public:
    explicit MacroFrame(Interpreter& interpreter) : interpreter_(interpreter), line_(interpreter.line_) {
      outer_.push_back(interpreter.scopes_.front());
      std::swap(outer_, interpreter.scopes_);
      ++interpreter.calls_;
    }
    ~MacroFrame() {
      std::swap(outer_, interpreter_.scopes_);
      --interpreter_.calls_;
      if (std::uncaught_exceptions() == 0)
        interpreter_.line_ = line_;  // trouble keeps the line where it arose
    }

   private:
    Interpreter& interpreter_;
    int line_;
    std::vector<Dict> outer_;
  };

  Value MakeMacro(const Statement& statement) {
    return Function([this, &statement](const Arguments& arguments) -> Value {
      if (calls_ >= kMostCalls) Fail("macros call each other too deep");
      if (arguments.positional.size() > statement.parameters.size())
        Fail(fmt::format("{}() takes {} arguments", statement.text, statement.parameters.size()));
      if (++turns_ > kMostTurns) Fail("macros are called more than a million times");
      const MacroFrame frame(*this);
      const Scope scope(*this);
      std::string out;
      for (std::size_t i = 0; i < statement.parameters.size(); ++i)
        Set(statement.parameters[i].first, ArgumentOf(statement, i, arguments));
      Run(statement.body, out);
      return out;
    });
  }

  Value ArgumentOf(const Statement& macro, std::size_t i, const Arguments& arguments) {
    if (i < arguments.positional.size()) return arguments.positional[i];
    const auto& [name, otherwise] = macro.parameters[i];
    for (const auto& [key, value] : arguments.named)
      if (key == name) return value;
    return otherwise ? Evaluate(*otherwise) : Value(Undefined{name});
  }

  const Value& Printed(const Value& value) const {
    if (dialect_.is_strict && value.is_undefined())
      Fail(fmt::format("'{}' is undefined", value.undefined_name()));
    return value;
  }

  Value Filter(const std::string& name, const Value& input, Arguments arguments) {
    const auto found = dialect_.filters.find(name);
    if (found == dialect_.filters.end()) return ApplyFilter(name, input, arguments, applications_);
    arguments.positional.insert(arguments.positional.begin(), input);
    return found->second(arguments);
  }

  // ---- expressions

  Value Look(const std::string& name) const {
    for (auto scope = scopes_.rbegin(); scope != scopes_.rend(); ++scope)
      for (const auto& [key, value] : *scope)
        if (key == name) return value;
    for (const auto& [key, value] : globals_)
      if (key == name) return value;
    return Undefined{name};
  }

  Value Optional(const ExpressionPtr& expression) { return expression ? Evaluate(*expression) : Value(); }

  Arguments EvaluateArguments(const Expression& call) {
    Arguments arguments;
    for (std::size_t i = 1; i < call.children.size(); ++i)
      arguments.positional.push_back(Evaluate(*call.children[i]));
    for (const auto& [name, value] : call.named) arguments.named.emplace_back(name, Evaluate(*value));
    return arguments;
  }

  Value Evaluate(const Expression& e) {
    line_ = e.line;
    switch (e.kind) {
      case Kind::kLiteral:
        return e.value;
      case Kind::kName:
        return Look(e.name);
      case Kind::kList:
      case Kind::kTuple: {
        List list;
        for (const ExpressionPtr& child : e.children) list.push_back(Evaluate(*child));
        return e.kind == Kind::kTuple ? Value::Tuple(std::move(list)) : Value(std::move(list));
      }
      case Kind::kDict: {
        Dict dict;
        for (std::size_t i = 0; i < e.children.size(); i += 2)
          Put(dict, Evaluate(*e.children[i]).Text(), Evaluate(*e.children[i + 1]));
        return dict;
      }
      case Kind::kAttribute:
        return Attribute(Evaluate(*e.children[0]), e.name);
      case Kind::kItem: {
        const Value value = Evaluate(*e.children[0]);
        return Item(value, Evaluate(*e.children[1]));
      }
      case Kind::kSlice: {
        const Value value = Evaluate(*e.children[0]), start = Optional(e.children[1]),
                    stop = Optional(e.children[2]);
        return Slice(value, start, stop, Optional(e.children[3]));
      }
      case Kind::kCall:
        return EvaluateCall(e);
      case Kind::kFilter: {
        const Value input = Evaluate(*e.children[0]);
        return Filter(e.name, input, EvaluateArguments(e));
      }
      case Kind::kTest: {
        const Value input = Evaluate(*e.children[0]);
        return ApplyTest(e.name, input, EvaluateArguments(e));
      }
      case Kind::kNot:
        return !Evaluate(*e.children[0]).Truth();
      case Kind::kNegative:
        return Arithmetic("-", std::int64_t{0}, Evaluate(*e.children[0]));
      case Kind::kPositive:
        return Evaluate(*e.children[0]);
      case Kind::kBinary:
        return EvaluateBinary(e);
      case Kind::kComparison:
        return EvaluateComparison(e);
      case Kind::kConditional:
        if (Evaluate(*e.children[0]).Truth()) return Evaluate(*e.children[1]);
        return e.children[2] ? Evaluate(*e.children[2]) : Value(Undefined{"the value of an if without else"});
    }
    return {};
  }

  Value EvaluateCall(const Expression& e) {
    const Expression& callee = *e.children[0];
    if (callee.kind == Kind::kAttribute) {
      const Value object = Evaluate(*callee.children[0]);
      if (IsMethod(object, callee.name)) return CallMethod(object, callee.name, EvaluateArguments(e));
      const Value* entry = object.Find(callee.name);
      if (entry == nullptr || !entry->is_function())
        Fail(fmt::format("{} has no method '{}' that is supported", object.TypeName(), callee.name));
      return entry->function()(EvaluateArguments(e));
    }
    const Value function = Evaluate(callee);
    if (function.is_undefined())
      Fail(fmt::format("the function {} is not supported", function.undefined_name()));
    if (!function.is_function()) Fail("cannot call " + function.TypeName());
    return function.function()(EvaluateArguments(e));
  }

  Value EvaluateBinary(const Expression& e) {
    const Value left = Evaluate(*e.children[0]);
    if (e.name == "and") return left.Truth() ? Evaluate(*e.children[1]) : left;
    if (e.name == "or") return left.Truth() ? left : Evaluate(*e.children[1]);
    return Arithmetic(e.name, left, Evaluate(*e.children[1]));
  }

  Value EvaluateComparison(const Expression& e) {
    Value left = Evaluate(*e.children[0]);
    for (std::size_t i = 0; i < e.operators.size(); ++i) {
      Value right = Evaluate(*e.children[i + 1]);
      if (!Holds(e.operators[i], left, right)) return false;
      left = std::move(right);
    }
    return true;
  }

  static bool Holds(const std::string& op, const Value& left, const Value& right) {
    if (op == "==") return left == right;
    if (op == "!=") return !(left == right);
    if (op == "in") return Contains(right, left);
    if (op == "not in") return !Contains(right, left);
    if (op == "<") return Value::Less(left, right);
    if (op == ">") return Value::Less(right, left);
    return op == "<=" ? !Value::Less(right, left) : !Value::Less(left, right);
  }

  const Clock& clock_;
  const Dialect& dialect_;
  Dict globals_;
  std::vector<Dict> scopes_;
  std::vector<Value> namespaces_;
  Applications applications_;
  int line_ = 1, calls_ = 0;
  std::int64_t turns_ = 0;
};

}  // namespace

struct Template::Parsed {
  Dialect dialect;
  Body body;
  Clock clock = LocalTime;
};

Template::Template(std::string_view source, Dialect dialect) : parsed_(new Parsed{std::move(dialect), {}}) {
  parsed_->body = Parse(source, parsed_->dialect);
}
Template::~Template() = default;
Template::Template(Template&&) noexcept = default;
Template& Template::operator=(Template&&) noexcept = default;

void Template::SetClock(Clock clock) { parsed_->clock = std::move(clock); }

std::string Template::Render(const io::OrderedJson& variables) const {
  return Interpreter(parsed_->clock, parsed_->dialect, variables).Render(parsed_->body);
}

}  // namespace forge::text::jinja
