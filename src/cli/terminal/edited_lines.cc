#include "cli/terminal/edited_lines.h"

#include <fmt/format.h>
#include <histedit.h>
#include <unistd.h>

#include <algorithm>
#include <clocale>
#include <cstdio>

#include "base/error.h"
#include "cli/terminal/completion_list.h"
#include "cli/terminal/key_input.h"
#include "cli/terminal/line_history.h"
#include "cli/terminal/pasted_texts.h"
#include "cli/terminal/terminal.h"
#include "cli/terminal/typed_message.h"
#include "cli/terminal/wide_text.h"
#include "text/utf8.h"

namespace st {
namespace {

// What our functions have libedit do as if it had been typed: no terminal sends these.
constexpr const wchar_t* kAccept = L"\x1b[=a";
constexpr const wchar_t* kPrevious = L"\x1b[=p";
constexpr const wchar_t* kNext = L"\x1b[=n";
constexpr const wchar_t* kOffer = L"\x1b[=o";

constexpr std::wstring_view kPasteEnds = L"\x1b[201~";
constexpr wchar_t kLiteral = 1;  // before and after sequences in a prompt
constexpr std::string_view kPromptText = "> ";
constexpr const wchar_t* kPrompt = L"> ";
// A sequence is shown along with the character that follows it.
constexpr const wchar_t* kBoldPrompt = L"\1\x1b[1m\1>\1\x1b[0m\1 ";

struct CloseFile {
  void operator()(FILE* file) const { std::fclose(file); }
};
struct EndEditing {
  void operator()(EditLine* el) const { ::el_end(el); }
};
struct EndHistory {
  void operator()(HistoryW* history) const { ::history_wend(history); }
};

// libedit knows widths of characters by the locale, and what we show is UTF-8 in any.
void use_utf8() {
  if (!std::setlocale(LC_CTYPE, "C.UTF-8")) std::setlocale(LC_CTYPE, "");
}

class EditedLines final : public LineEditor {
 public:
  EditedLines(LineEditorOptions options, TakenInterrupts& interrupts)
      : options_(std::move(options)), keys_(interrupts), past_(options_.history) {
    use_utf8();
    nowhere_.reset(std::fopen("/dev/null", "we"));
    el_.reset(::el_init("smallthinker", stdin, screen(), nowhere_ ? nowhere_.get() : stderr));
    history_.reset(::history_winit());
    if (!el_ || !history_) fail(ErrorCode::kOutOfMemory, "no memory for editing lines");
    configure();
    bind_keys();
    HistEventW event;
    ::history_w(history_.get(), &event, H_SETSIZE, static_cast<int>(LineHistory::kMost));
    for (const std::string& entry : past_.entries()) remember(entry);
  }

  Typed read(const std::string& offered) override {
    modes_.take_back();
    offered_ = offered;
    end_ = Typed::End::kEnter;
    if (!offered.empty()) push(kOffer);
    int length = 0;
    const wchar_t* line = ::el_wgets(el_.get(), &length);
    if (!line && end_ == Typed::End::kEnter) end_ = Typed::End::kEndOfInput;  // it is gone
    if (end_ == Typed::End::kEndOfInput) {
      show_on(options_.screen, "\n");
      return {end_, {}};
    }
    std::string text = narrow({line, static_cast<size_t>(length)});
    text.pop_back();  // the line feed of Enter
    if (end_ == Typed::End::kInterrupt) {
      text.resize(text.size() - 2);  // ^C
      return {end_, text};
    }
    const std::string whole = pasted_.expanded(text);
    if (!whole.empty()) {
      past_.add(whole);
      remember(whole);
    }
    return {end_, typed_message(whole)};
  }

 private:
  using Key = unsigned char (EditedLines::*)();

  FILE* screen() const { return options_.screen == STDERR_FILENO ? stderr : stdout; }

  static EditedLines& self(EditLine* el) {
    void* data = nullptr;
    ::el_get(el, EL_CLIENTDATA, &data);
    return *static_cast<EditedLines*>(data);
  }

  void configure() {
    EditLine* el = el_.get();
    ::el_set(el, EL_CLIENTDATA, this);
    ::el_set(el, EL_SIGNAL, 0);
    ::el_set(el, EL_EDITOR, "emacs");
    ::el_set(el, EL_SETTY, "-d", "-isig", nullptr);  // Ctrl-C and Ctrl-Z are keys
    ::el_wset(el, EL_HIST, ::history_w, history_.get());
    const el_rfunc_t key = [](EditLine* editor, wchar_t* c) { return self(editor).next(*c); };
    ::el_wset(el, EL_GETCFN, key);
    wchar_t* (*prompt)(EditLine*) = [](EditLine* editor) {
      return const_cast<wchar_t*>(self(editor).options_.color ? kBoldPrompt : kPrompt);
    };
    ::el_wset(el, EL_PROMPT_ESC, prompt, kLiteral);
  }

  // Wide names: libedit keeps them as they are, where it copies others and never frees the copies.
  template <Key key>
  void bind(const wchar_t* name, std::initializer_list<const wchar_t*> keys) {
    unsigned char (*function)(EditLine*, int) = [](EditLine* el, int) { return (self(el).*key)(); };
    ::el_wset(el_.get(), EL_ADDFN, name, name, function);
    for (const wchar_t* sequence : keys) bind(sequence, name);
  }

  void bind(const wchar_t* sequence, const wchar_t* name) {
    ::el_wset(el_.get(), EL_BIND, sequence, name, nullptr);
  }

  void bind_keys() {
    bind<&EditedLines::enter>(L"st-enter", {L"^M", L"^J"});
    bind<&EditedLines::line_feed>(L"st-line-feed", {L"\\e^M", L"\\e^J"});
    bind<&EditedLines::interrupt>(L"st-interrupt", {L"^C"});
    bind<&EditedLines::erase_or_end>(L"st-erase-or-end", {L"^D"});
    bind<&EditedLines::suspend>(L"st-suspend", {L"^Z"});
    bind<&EditedLines::paste>(L"st-paste", {L"\\e[200~"});
    bind<&EditedLines::complete>(L"st-complete", {L"^I"});
    bind<&EditedLines::outside>(L"st-outside", {L"^G"});
    bind<&EditedLines::up>(L"st-up", {L"\\e[A", L"\\eOA"});
    bind<&EditedLines::down>(L"st-down", {L"\\e[B", L"\\eOB"});
    bind<&EditedLines::home>(L"st-home", {L"^A", L"\\e[H", L"\\eOH", L"\\e[1~"});
    bind<&EditedLines::line_end>(L"st-end", {L"^E", L"\\e[F", L"\\eOF", L"\\e[4~"});
    bind<&EditedLines::offer>(L"st-offer", {kOffer});
    bind(kAccept, L"ed-newline");
    bind(kPrevious, L"ed-prev-history");
    bind(kNext, L"ed-next-history");
    bind(L"^R", L"em-inc-search-prev");
    bind(L"\\e[3~", L"ed-delete-next-char");
    bind(L"\\e[1;5C", L"em-next-word");
    bind(L"\\e[1;5D", L"ed-prev-word");
  }

  // The next character for libedit.
  int next(wchar_t& c) {
    repaint_wide_text();
    while (!take_character(c)) {
      char byte = 0;
      switch (keys_.next(byte)) {
        case KeyInput::Event::kByte:
          bytes_ += byte;
          continue;
        case KeyInput::Event::kInterrupt:
          c = 'C' & 0x1f;
          return 1;
        case KeyInput::Event::kRedraw:
          redraw();
          continue;
        case KeyInput::Event::kEnd:
          return 0;
      }
    }
    return 1;
  }

  // Of the bytes that came; false: they are none yet. What cannot become one is U+FFFD.
  bool take_character(wchar_t& c) {
    if (bytes_.empty()) return false;
    const Utf8Step step = utf8_step(bytes_);
    if (step.kind == Utf8Step::kIncomplete) return false;
    const std::string_view taken = std::string_view(bytes_).substr(0, step.length);
    c = static_cast<wchar_t>(step.kind == Utf8Step::kInvalid ? 0xFFFD : decode_utf8(taken));
    bytes_.erase(0, step.length);
    return true;
  }

  void redraw() {
    raw(false);
    raw(true);
    move_to_beginning();
    ::el_resize(el_.get());
    ::el_set(el_.get(), EL_REFRESH);
  }

  // libedit loses the cursor where wide characters come before it in a line that changes.
  void repaint_wide_text() {
    const std::wstring_view now = line();
    if (now == painted_ && cursor() == painted_cursor_) return;
    painted_ = now;
    painted_cursor_ = cursor();
    const auto wide = [](wchar_t c) { return columns_of(static_cast<char32_t>(c)) > 1; };
    if (std::ranges::none_of(now, wide)) return;
    move_to_beginning();
    ::el_set(el_.get(), EL_REFRESH);
  }

  // To where the prompt begins, by what stands before the cursor, and nothing below it: what is
  // refreshed then is drawn anew. Holds also where the terminal has broken lines for a new width.
  void move_to_beginning() {
    const int columns = terminal_size(options_.screen).columns;
    int rows = 0, column = static_cast<int>(kPromptText.size());
    for (const wchar_t c : line().substr(0, cursor())) {
      const int wide = c == L'\n' ? 0 : columns_of(static_cast<char32_t>(c));
      const bool next_row = c == L'\n' || column + wide > columns;
      column = (next_row ? 0 : column) + wide;
      rows += next_row ? 1 : 0;
      if (column < columns) continue;
      ++rows;
      column = 0;
    }
    if (rows > 0) show_on(options_.screen, fmt::format("\x1b[{}A", rows));
    show_on(options_.screen, "\r\x1b[J");
  }

  void raw(bool on) { ::el_set(el_.get(), EL_PREP_TERM, on ? 1 : 0); }

  // As if it had been typed.
  void push(const wchar_t* sequence) { ::el_wpush(el_.get(), sequence); }

  std::wstring_view line() const {
    const LineInfoW* info = ::el_wline(el_.get());
    return {info->buffer, static_cast<size_t>(info->lastchar - info->buffer)};
  }
  size_t cursor() const {
    const LineInfoW* info = ::el_wline(el_.get());
    return static_cast<size_t>(info->cursor - info->buffer);
  }
  void move_to(size_t at) {
    ::el_cursor(el_.get(), static_cast<int>(at) - static_cast<int>(cursor()));
  }
  void erase_before(size_t characters) {
    if (characters > 0) ::el_deletestr(el_.get(), static_cast<int>(characters));
  }
  void insert(std::wstring_view text) {
    if (!text.empty()) ::el_winsertstr(el_.get(), std::wstring(text).c_str());
  }
  void replace(std::string_view text) {
    move_to(line().size());
    erase_before(line().size());
    insert(widen(text));
  }

  void remember(const std::string& entry) {
    HistEventW event;
    ::history_w(history_.get(), &event, H_ENTER, widen(pasted_.shown(entry)).c_str());
  }

  unsigned char enter() {
    switch (continues(narrow(line()))) {
      case Continues::kNo:
        push(kAccept);
        return CC_NORM;
      case Continues::kAfterBackslash:
        move_to(line().size());
        erase_before(1);
        break;
      case Continues::kInBlock:
        break;
    }
    return line_feed();
  }

  unsigned char line_feed() {
    insert(L"\n");
    return CC_REFRESH;
  }

  unsigned char interrupt() {
    end_ = Typed::End::kInterrupt;
    move_to(line().size());
    insert(L"^C");
    push(kAccept);
    return CC_REFRESH;
  }

  unsigned char erase_or_end() {
    if (line().empty()) {
      end_ = Typed::End::kEndOfInput;
      return CC_EOF;
    }
    if (cursor() == line().size()) return CC_ERROR;
    move_to(cursor() + 1);
    erase_before(1);
    return CC_REFRESH;
  }

  unsigned char suspend() {
    raw(false);
    suspend_process();
    raw(true);
    return CC_REDISPLAY;
  }

  unsigned char paste() {
    std::wstring text;
    for (wchar_t c = 0; !text.ends_with(kPasteEnds);) {
      if (::el_wgetc(el_.get(), &c) != 1) return CC_EOF;
      // Terminals send line feeds as Enter does.
      text += c == '\r' ? L'\n' : c;
    }
    text.resize(text.size() - kPasteEnds.size());
    insert(widen(pasted_.shown(narrow(text))));
    return CC_REFRESH;
  }

  unsigned char complete() {
    const std::string before = narrow(line().substr(0, cursor()));
    const Completion found = options_.complete ? options_.complete(before) : Completion();
    if (found.words.empty()) return CC_ERROR;
    const std::string word = before.substr(found.begin), common = common_beginning(found.words);
    if (found.words.size() > 1 && common.size() <= word.size()) {
      const int columns = terminal_size(options_.screen).columns;
      show_on(options_.screen, "\n" + in_columns(found.words, columns));
      return CC_REDISPLAY;
    }
    erase_before(widen(word).size());
    const bool done = found.words.size() == 1 && !common.ends_with('/');
    insert(widen(done ? common + " " : common));
    return CC_REFRESH;
  }

  unsigned char outside() {
    std::string text = pasted_.expanded(narrow(line()));
    raw(false);
    modes_.lend();
    const bool edited = edit_outside(text);
    modes_.take_back();
    raw(true);
    if (edited) replace(pasted_.shown(text));
    return CC_REDISPLAY;
  }

  unsigned char offer() {
    replace(pasted_.shown(offered_));
    return CC_REFRESH;
  }

  size_t line_begin() const {
    const size_t here = cursor();
    return here == 0 ? 0 : line().rfind(L'\n', here - 1) + 1;
  }

  unsigned char home() {
    move_to(line_begin());
    return CC_CURSOR;
  }

  unsigned char line_end() {
    move_to(std::min(line().find(L'\n', cursor()), line().size()));
    return CC_CURSOR;
  }

  // Within a message of several lines first, then to other messages.
  unsigned char up() {
    const std::wstring_view before = line().substr(0, cursor());
    const size_t end = before.rfind(L'\n');
    if (end == before.npos) {
      push(kPrevious);
      return CC_NORM;
    }
    const size_t begin = end == 0 ? 0 : before.rfind(L'\n', end - 1) + 1;
    move_to(std::min(begin + (before.size() - end - 1), end));
    return CC_CURSOR;
  }

  unsigned char down() {
    const size_t here = cursor();
    const std::wstring_view all = line();
    const size_t end = all.find(L'\n', here);
    if (end == all.npos) {
      push(kNext);
      return CC_NORM;
    }
    const size_t begin = line_begin();
    const size_t last = std::min(all.find(L'\n', end + 1), all.size());
    move_to(std::min(end + 1 + (here - begin), last));
    return CC_CURSOR;
  }

  const LineEditorOptions options_;
  TerminalModes modes_{options_.screen};
  KeyInput keys_;
  LineHistory past_;
  PastedTexts pasted_;
  std::unique_ptr<FILE, CloseFile> nowhere_;
  std::unique_ptr<HistoryW, EndHistory> history_;
  std::unique_ptr<EditLine, EndEditing> el_;
  std::string offered_;
  std::string bytes_;     // that came and are not taken
  std::wstring painted_;  // the line as it was shown last
  size_t painted_cursor_ = 0;
  Typed::End end_ = Typed::End::kEnter;
};

}  // namespace

std::unique_ptr<LineEditor> make_edited_lines(LineEditorOptions options,
                                              TakenInterrupts& interrupts) {
  return std::make_unique<EditedLines>(std::move(options), interrupts);
}

}  // namespace st
