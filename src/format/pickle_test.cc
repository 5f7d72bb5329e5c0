#include "format/pickle.h"

#include <gtest/gtest.h>

#include "support/bytes.h"

namespace st {
namespace {

using testkit::cat;
using testkit::contains;
using testkit::le;
using testkit::repeat;

constexpr std::string_view kProto2("\x80\x02", 2);

// What the machine says to `program`, which begins after the protocol.
std::string error(std::string_view program) {
  const std::string bytes = std::string(kProto2) + std::string(program);
  return testkit::error_of([&] { Pickle pickle{std::string_view(bytes)}; });
}

template <size_t N>
constexpr std::string_view literal(const char (&text)[N]) {
  return {text, N - 1};
}

// {'a': (1, -2, 2**40), 'b': [None, True, 1.5]} as Python 3.11 pickles it.
constexpr std::string_view kProtocol2 = literal(
    "\x80\x02}q\x00(X\x01\x00\x00\x00"
    "aq\x01K\x01J\xfe\xff\xff\xff\x8a\x06\x00\x00\x00\x00\x00\x01\x87q\x02X\x01\x00\x00\x00"
    "bq\x03]q\x04(N\x88G?\xf8\x00\x00\x00\x00\x00\x00"
    "eu.");
constexpr std::string_view kProtocol4 = literal(
    "\x80\x04\x95-\x00\x00\x00\x00\x00\x00\x00}\x94(\x8c\x01"
    "a\x94K\x01J\xfe\xff\xff\xff\x8a\x06\x00\x00\x00\x00\x00\x01\x87\x94\x8c\x01"
    "b\x94]\x94(N\x88G?\xf8\x00\x00\x00\x00\x00\x00"
    "eu.");

TEST(Pickle, ReadsWhatPythonWrites) {
  for (const std::string_view bytes : {kProtocol2, kProtocol4}) {
    const Pickle pickle(bytes);
    ASSERT_EQ(pickle.root().kind, PickleKind::kDict);
    const std::vector<PickleRef>& items = pickle.root().items;
    ASSERT_EQ(items.size(), 4U);
    EXPECT_EQ(pickle[items[0]].text, "a");
    const PickleValue& tuple = pickle[items[1]];
    ASSERT_EQ(tuple.kind, PickleKind::kTuple);
    ASSERT_EQ(tuple.items.size(), 3U);
    EXPECT_EQ(pickle[tuple.items[0]].integer, 1);
    EXPECT_EQ(pickle[tuple.items[1]].integer, -2);
    EXPECT_EQ(pickle[tuple.items[2]].integer, int64_t{1} << 40);
    EXPECT_EQ(pickle[items[2]].text, "b");
    const PickleValue& list = pickle[items[3]];
    ASSERT_EQ(list.kind, PickleKind::kList);
    ASSERT_EQ(list.items.size(), 3U);
    EXPECT_EQ(pickle[list.items[0]].kind, PickleKind::kNone);
    EXPECT_EQ(pickle[list.items[1]].integer, 1);
    EXPECT_EQ(pickle[list.items[2]].kind, PickleKind::kFloat);
  }
}

// OrderedDict(x=1) with an attribute _metadata, as torch modules save it.
TEST(Pickle, OrderedDictWithMetadata) {
  for (const std::string_view bytes :
       {literal("\x80\x02"
                "ccollections\nOrderedDict\nq\x00)Rq\x01X\x01\x00\x00\x00xq\x02K\x01s}q\x03X\t"
                "\x00\x00\x00_metadataq\x04h\x00)Rq\x05X\x01\x00\x00\x00vq\x06K\x01ssb."),
        literal("\x80\x04\x95"
                "E\x00\x00\x00\x00\x00\x00\x00\x8c\x0b"
                "collections\x94\x8c\x0bOrderedDict\x94\x93\x94)R\x94\x8c\x01x\x94K\x01s}\x94\x8c\t"
                "_metadata\x94h\x02)R\x94\x8c\x01v\x94K\x01ssb.")}) {
    const Pickle pickle(bytes);
    ASSERT_EQ(pickle.root().kind, PickleKind::kOrderedDict);
    ASSERT_EQ(pickle.root().items.size(), 2U);
    EXPECT_EQ(pickle[pickle.root().items[0]].text, "x");
  }
}

TEST(Pickle, LongIntegers) {
  const auto value = [](std::string_view digits) {
    const std::string bytes = std::string(kProto2) + "\x8a" +
                              le(static_cast<uint8_t>(digits.size())) + std::string(digits) + ".";
    return Pickle(bytes).root().integer;
  };
  EXPECT_EQ(value(""), 0);
  EXPECT_EQ(value("\xff"), -1);
  EXPECT_EQ(value("\x7f"), 127);
  EXPECT_EQ(value("\xff\xff\xff\xff\xff\xff\xff\x7f"), INT64_MAX);
}

TEST(PickleHostile, EveryPrefix) {
  for (const std::string_view bytes : {kProtocol2, kProtocol4}) {
    for (size_t n = 0; n < bytes.size(); ++n) {
      EXPECT_NE(testkit::error_of([&] { Pickle pickle(bytes.substr(0, n)); }), "no error") << n;
    }
  }
}

// P1: nothing but data.

TEST(PickleHostile, GlobalAndReduce) {
  EXPECT_EQ(error("cos\nsystem\n(X\4\0\0\0trueptR."),
            "pickle: global 'os.system' not allowed at offset 2");
  EXPECT_PRED2(contains, error("cposix\nsystem\n."), "pickle: global 'posix.system' not allowed");
  EXPECT_PRED2(contains, error("c__builtin__\neval\n."), "'__builtin__.eval' not allowed");
  EXPECT_PRED2(contains, error("ctorch\nload\n."), "'torch.load' not allowed");
  EXPECT_PRED2(contains, error("ctorch\nLongStorage\n."), "'torch.LongStorage' not allowed");
}

TEST(PickleHostile, GlobalWithControlBytes) {
  EXPECT_PRED2(contains, error("c\x1b]52\nx\n."), "global '\\x1b]52.x' not allowed");
}

TEST(PickleHostile, StackGlobal) {
  EXPECT_PRED2(contains, error("\x8c\2os\x8c\6system\x93."), "global 'os.system' not allowed");
  EXPECT_PRED2(contains, error("K\1K\2\x93."), "global not named by strings");
}

TEST(PickleHostile, CallOfSomethingElse) {
  EXPECT_PRED2(contains, error("K\1)R."), "call of something that is not a function");
  EXPECT_PRED2(contains, error("ctorch\nFloatStorage\n)R."),
               "call of 'torch.FloatStorage' not allowed");
  EXPECT_PRED2(contains, error("ccollections\nOrderedDict\nK\1\x85R."),
               "call of 'collections.OrderedDict' not allowed");
  EXPECT_PRED2(contains, error("ctorch._utils\n_rebuild_tensor_v2\nK\1R."),
               "call with arguments that are no tuple");
}

TEST(PickleHostile, Build) {
  EXPECT_PRED2(contains, error("}}b."), "attributes not allowed");
  EXPECT_PRED2(contains, error("ctorch\nFloatStorage\n}b."), "attributes not allowed");
  EXPECT_PRED2(contains, error("ccollections\nOrderedDict\n)RK\1b."), "attributes not allowed");
}

TEST(PickleHostile, OtherOpcodes) {
  // Extension codes, instances, new-style objects, text opcodes, text ids, a second protocol.
  for (const std::string_view program :
       {literal("\x82\1."), literal("\x83\1\0."), literal("\x84\1\0\0\0."),
        literal("(ios\nsystem\n."), literal("(cos\nsystem\no."), literal(")\x81."),
        literal("}}\x92."), literal("Ptext\n."), literal("I1\n."), literal("\x8b\0\0\0\0."),
        literal("\x96."), literal("\xff."), literal("\x80\2N."), literal("N2.")}) {
    EXPECT_PRED2(contains, error(program), "not allowed at offset") << program;
  }
}

// P2: nothing but what fits.

TEST(PickleHostile, MemoIndex) {
  EXPECT_EQ(error("Nr\xff\xff\xff\xff."), "pickle: memo index 4294967295 >= 524288 at offset 3");
  EXPECT_PRED2(contains, error("h\1."), "memo index 1 is not set");
  EXPECT_PRED2(contains, error("j\xff\xff\xff\xff."), "memo index 4294967295 is not set");
  EXPECT_PRED2(contains, error("Nq\5h\4."), "memo index 4 is not set");
  EXPECT_PRED2(contains, error(literal("q\0.")), "stack underflow");
}

TEST(PickleHostile, HugeLong) {
  EXPECT_PRED2(contains, error(literal("\x8b\0\0\0\x80")), "opcode 0x8b not allowed");
  EXPECT_PRED2(contains,
               error("\x8a\x09"
                     "123456789."),
               "integer of 9 bytes > 8");
  EXPECT_PRED2(contains, error("\x8a\xff."), "truncated");
}

TEST(PickleHostile, HugeString) {
  EXPECT_PRED2(contains,
               error("X\xff\xff\xff\xff"
                     "abc."),
               "truncated at offset 2");
  EXPECT_PRED2(contains,
               error("\x8c\xff"
                     "abc."),
               "truncated");
}

TEST(PickleHostile, HugeFrame) {
  EXPECT_PRED2(contains, error("\x95\xff\xff\xff\xff\xff\xff\xff\xffN."), "frame past the end");
}

TEST(PickleHostile, Marks) {
  EXPECT_PRED2(contains, error("(N."), "values left on the stack");
  EXPECT_PRED2(contains, error("N(."), "stack underflow");
  EXPECT_PRED2(contains, error("Nt."), "stack underflow (no mark)");
  EXPECT_PRED2(contains, error("](Na."), "stack underflow");
  EXPECT_PRED2(contains, error("N(\x85."), "stack underflow");  // across the mark
  EXPECT_PRED2(contains, error(repeat("(", 1'000'000)), "truncated");
}

TEST(PickleHostile, StackUnderflowNamesTheOffset) {
  EXPECT_EQ(error("K\1K\2K\3K\4K\5K\6K\7\x87\x87\x87\x87."),
            "pickle: stack underflow at offset 19");
  EXPECT_EQ(error("."), "pickle: stack underflow at offset 2");
}

TEST(PickleHostile, Containers) {
  EXPECT_PRED2(contains, error("NNa."), "append to something that is not a list");
  EXPECT_PRED2(contains, error("NNNs."), "item set in something that is not a dict");
  EXPECT_PRED2(contains, error("}(Nu."), "key without a value");
}

TEST(PickleHostile, ValuesLeftOver) {
  EXPECT_PRED2(contains, error("NN."), "values left on the stack");
  EXPECT_PRED2(contains, error("N.N"), "data after the end");
}

TEST(PickleHostile, Protocol) {
  for (const std::string_view bytes : {literal("N."), literal("(dp0\n."), literal("\x80\1N."),
                                       literal("\x80\6N."), literal("\x80\xffN.")}) {
    EXPECT_PRED2(contains, testkit::error_of([&] { Pickle pickle(bytes); }), "protocol");
  }
}

TEST(PickleHostile, NestedTuples) {
  const std::string bytes = std::string(kProto2) + "N" + repeat("\x85", 500'000) + ".";
  const Pickle pickle{std::string_view(bytes)};  // deep is fine, freed without recursion
  EXPECT_EQ(pickle.root().items.size(), 1U);
  EXPECT_PRED2(contains, error(fmt::format("N{}.", repeat("\x85", 1'000'000))),
               "more than 524288 values");
}

TEST(PickleHostile, ListThatContainsItself) {
  const std::string bytes = std::string(kProto2) + std::string(literal("]q\0h\0a."));
  const Pickle pickle{std::string_view(bytes)};
  ASSERT_EQ(pickle.root().items.size(), 1U);
  EXPECT_EQ(&pickle[pickle.root().items[0]], &pickle.root());
}

TEST(PickleHostile, TooMuch) {
  EXPECT_PRED2(contains, error(fmt::format("N{}.", repeat("q\1", 2'200'000))),
               "more than 2097152 opcodes");
  EXPECT_PRED2(contains, error(repeat("(", 2'200'000)), "more than 2097152 opcodes");
  EXPECT_PRED2(contains, error(std::string(Pickle::kMaxBytes, 'N')), "too large");
}

// A long tuple as the arguments of many calls is shared, not copied.
TEST(PickleHostile, CallsWithManyArguments) {
  const std::string bytes = cat(kProto2, "ctorch._utils\n_rebuild_tensor_v2\nq\1(",
                                repeat("N", 100'000), "tq\2((", repeat("h\1h\2R", 200'000), "tt.");
  const auto parse = [&] { testkit::error_of([&] { Pickle pickle{std::string_view(bytes)}; }); };
  EXPECT_LT(testkit::cpu_seconds(parse), testkit::kPatience);
}

}  // namespace
}  // namespace st
