// What lookup is worth on given texts, with the costs of passes of a large model.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <iterator>

#include "engine/lookup_drafter.h"
#include "engine/model.h"
#include "golden/fixture.h"

namespace st::chats {
namespace {

// Of passes over 1, 2 ... tokens, as SmallThinker-4B in Q4_0 takes on two threads.
constexpr double kCosts[] = {1, 1.50, 2.05, 2.98, 3.44, 3.94, 4.43, 4.86};

// Tokens per second, as a multiple of those without drafts, when `answer` follows `prompt`.
double gain(const std::string& prompt, const std::string& answer, const char* name) {
  static const Model model(golden::converted(golden::kTiny, DType::kQ4_0, true));
  std::vector<Token> text = model.tokenizer().encode(prompt, false);
  const size_t begin = text.size();
  const std::vector<Token> wanted = model.tokenizer().encode(answer, false);
  text.insert(text.end(), wanted.begin(), wanted.end());
  LookupDrafter drafter;
  drafter.begin();
  double cost = 0;
  int64_t drafted = 0, right = 0;
  for (size_t end = begin; end < text.size();) {
    const std::span<const Token> rest = std::span(text).subspan(end);
    const auto draft = drafter.draft(std::span(text).first(end), std::ssize(rest) - 1);
    const auto same = std::ranges::mismatch(draft, rest).in1 - draft.begin();
    cost += kCosts[draft.size()];
    drafter.timed(std::ssize(draft), 0.025 * kCosts[draft.size()]);
    drafted += std::ssize(draft);
    right += same;
    end += static_cast<size_t>(1 + same);
  }
  const double gain = static_cast<double>(wanted.size()) / cost;
  std::printf("%s: %.3fx, %lld of %lld drafts in %zu tokens\n", name, gain,
              static_cast<long long>(right), static_cast<long long>(drafted), wanted.size());
  return gain;
}

std::string with(std::string text, const std::string& from, const std::string& to) {
  for (size_t at = 0; (at = text.find(from, at)) != std::string::npos; at += to.size()) {
    text.replace(at, from.size(), to);
  }
  return text;
}

constexpr const char* kCode = R"(
import csv
import sys


class Account:
    def __init__(self, owner, balance=0):
        self.owner = owner
        self.balance = balance
        self.entries = []

    def deposit(self, amount, text):
        if amount <= 0:
            raise ValueError("an amount must be positive")
        self.balance += amount
        self.entries.append((amount, text))

    def withdraw(self, amount, text):
        if amount > self.balance:
            raise ValueError(f"{self.owner} has only {self.balance}")
        self.balance -= amount
        self.entries.append((-amount, text))

    def report(self):
        lines = [f"account of {self.owner}"]
        for amount, text in self.entries:
            lines.append(f"{amount:10} {text}")
        lines.append(f"{self.balance:10} in all")
        return "\n".join(lines)


def read(path):
    accounts = {}
    with open(path, newline="") as file:
        for owner, amount, text in csv.reader(file):
            account = accounts.setdefault(owner, Account(owner))
            if amount.startswith("-"):
                account.withdraw(int(amount[1:]), text)
            else:
                account.deposit(int(amount), text)
    return accounts


if __name__ == "__main__":
    for account in read(sys.argv[1]).values():
        print(account.report())
)";

TEST(RepeatingText, EditsOfCodeAreWrittenFaster) {
  const std::string prompt = std::string(kCode) + "\nRename deposit to credit.\n";
  EXPECT_GT(gain(prompt, with(kCode, "deposit", "credit"), "a method renamed"), 1.4);
  std::string more = with(kCode, "self.entries.append((amount, text))",
                          "self.entries.append((amount, text, time.time()))");
  more = with(with(more, "import sys", "import sys\nimport time"), "for amount, text in self",
              "for amount, text, _ in self");
  EXPECT_GT(gain(prompt, more, "a field added"), 1.4);
}

// Whole sentences of a text, and a few words between them.
TEST(RepeatingText, SummariesThatQuoteAreWrittenFaster) {
  std::ifstream file(testkit::shipped("valid.txt"));
  const std::string all{std::istreambuf_iterator<char>(file), {}};
  const std::string text = all.substr(0, 12000);
  std::string summary;
  size_t sentences = 0;
  for (size_t at = 0, end = 0; (end = text.find('.', at)) != text.npos; at = end + 1) {
    if (++sentences % 6 == 1) summary += " After that,";
    if (sentences % 6 < 3) summary += text.substr(at, end + 1 - at);
  }
  EXPECT_GT(gain(text + "\n\nIn short:", summary, "a summary"), 1.2);
}

TEST(RepeatingText, OtherTextLosesNothing) {
  std::ifstream file(testkit::shipped("valid.txt"));
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  for (size_t at = 10000; at < 90000; at += 20000) {
    EXPECT_GT(gain(text.substr(at, 2000), text.substr(at + 2000, 8000), "prose"), 0.99);
  }
}

}  // namespace
}  // namespace st::chats
