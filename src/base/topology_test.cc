// Machines as their kernels describe them, in short: from device trees and data sheets, the
// capacity worked out as the kernel does (capacity-dmips-mhz x clock, 1024 for the fastest). The
// tests write the files of /sys from it.
#include "base/topology.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "base/system_file.h"
#include "base/thread_choice.h"
#include "support/temporary_folder.h"

namespace st {
namespace {

struct Group {
  const char* cpus;
  uint64_t midr;      // 0: no such file, as on x86
  uint64_t capacity;  // 0: no such file
  uint64_t max_khz;   // 0: no such file
  int smt = 1;        // neighbours that share a core
};

struct Machine {
  const char* name;
  std::vector<Group> groups;
  int threads;               // that the default should be
  const char* stay;          // CPUs the workers should be kept on; "": anywhere
  const char* p_cores = "";  // Intel hybrids
  const char* e_cores = "";
};

constexpr uint64_t kA53 = 0x410fd034, kA55 = 0x412fd050, kA72 = 0x410fd083, kA76 = 0x414fd0b1,
                   kA520 = 0x410fd801, kA720 = 0x410fd811, kX4 = 0x410fd821, kOryon = 0x514f0014;

const std::vector<Machine>& machines() {
  static const std::vector<Machine> kMachines = {
      {"Raspberry Pi 5", {{"0-3", kA76, 1024, 2400000}}, 4, ""},
      {"RK3588",
       {{"0-3", kA55, 397, 1800000}, {"4-5", kA76, 1024, 2400000}, {"6-7", kA76, 1024, 2400000}},
       4,
       "4-7"},
      {"RK3576", {{"0-3", kA53, 442, 2016000}, {"4-7", kA72, 1024, 2208000}}, 4, "4-7"},
      {"RK3566", {{"0-3", kA55, 1024, 1800000}}, 4, ""},
      {"RDK X5", {{"0-7", kA55, 1024, 1500000}}, 8, ""},
      // Its device tree gives no capacities; two of the eight only run faster.
      {"Snapdragon 8 Elite", {{"0-5", kOryon, 0, 3530000}, {"6-7", kOryon, 0, 4320000}}, 8, ""},
      // The X4 and the A720s differ by a tenth: all six are big.
      {"Snapdragon 8 Gen 3",
       {{"0-1", kA520, 379, 2265600},
        {"2-4", kA720, 923, 3148800},
        {"5-6", kA720, 867, 2956800},
        {"7", kX4, 1024, 3302400}},
       6,
       "2-7"},
      {"laptop with 6 P-cores and 8 E-cores",
       {{"0-7", 0, 0, 4600000, 2}, {"8-11", 0, 0, 4700000, 2}, {"12-19", 0, 0, 3500000}},
       6,
       "0-11",
       "0-11",
       "12-19"},
      {"cloud VM", {{"0-1", 0, 1024, 0}}, 2, ""},
      {"cloud VM that shows its hardware threads", {{"0-7", 0, 0, 0, 2}}, 4, ""},
      {"128 cores, 256 threads", {{"0-255", 0, 0, 3700000, 2}}, 128, ""},
      {"Ryzen with cores that boost higher",
       {{"0-3", 0, 0, 5100000}, {"4-7", 0, 0, 4700000}},
       8,
       ""},
      {"Arm cores nobody knows yet",
       {{"0-3", 0x410fd990, 300, 2000000}, {"4-7", 0x410fd9a0, 1024, 3000000}},
       4,
       "4-7"},
  };
  return kMachines;
}

const Machine& machine(std::string_view name) {
  return *std::find_if(machines().begin(), machines().end(),
                       [&](const Machine& m) { return m.name == name; });
}

std::string cpu_file(int id, const char* name) {
  return fmt::format("sys/devices/system/cpu/cpu{}/{}", id, name);
}

void write_machine(const TemporaryFolder& root, const Machine& machine) {
  int count = 0;
  for (const Group& group : machine.groups) {
    for (const int id : parse_cpu_list(group.cpus)) {
      const int first = id - id % group.smt;
      root.write(cpu_file(id, "topology/core_cpus_list"),
                 group.smt == 1 ? fmt::format("{}", id)
                                : fmt::format("{}-{}", first, first + group.smt - 1));
      if (group.midr != 0) {
        root.write(cpu_file(id, "regs/identification/midr_el1"),
                   fmt::format("{:#018x}", group.midr));
      }
      if (group.capacity != 0) {
        root.write(cpu_file(id, "cpu_capacity"), std::to_string(group.capacity));
      }
      if (group.max_khz != 0) {
        root.write(cpu_file(id, "cpufreq/cpuinfo_max_freq"), std::to_string(group.max_khz));
      }
      ++count;
    }
  }
  root.write("sys/devices/system/cpu/online", fmt::format("0-{}", count - 1));
  if (*machine.p_cores) root.write("sys/devices/cpu_core/cpus", machine.p_cores);
  if (*machine.e_cores) root.write("sys/devices/cpu_atom/cpus", machine.e_cores);
}

Topology topology_of(const Machine& machine) {
  const TemporaryFolder root;
  write_machine(root, machine);
  return read_topology(root.path());
}

std::vector<int> list(const char* cpus) { return parse_cpu_list(cpus); }

TEST(CpuList, BothWays) {
  EXPECT_EQ(list("0-2,5,4,8-9"), (std::vector<int>{0, 1, 2, 4, 5, 8, 9}));
  EXPECT_EQ(format_cpu_list(list("0-2,5,4,8-9")), "0-2,4-5,8-9");
  EXPECT_EQ(format_cpu_list({}), "");
  for (const char* wrong :
       {"", "x", "1-", "-1", "3-1", "0-4294967295", "99999999999999999999", "1 2"}) {
    EXPECT_EQ(list(wrong), std::vector<int>{}) << wrong;
  }
}

TEST(ThreadChoice, Machines) {
  for (const Machine& machine : machines()) {
    const ThreadChoice choice = choose_threads(0, topology_of(machine), {}, {});
    EXPECT_EQ(choice.threads, machine.threads) << machine.name;
    EXPECT_EQ(format_cpu_list(choice.cpus), machine.stay) << machine.name;
    EXPECT_FALSE(choice.crowded) << machine.name;
  }
}

TEST(ThreadChoice, NamesTheTypes) {
  const Topology phone = topology_of(machine("Snapdragon 8 Gen 3"));
  ASSERT_EQ(phone.cpus.size(), 8u);
  EXPECT_EQ(phone.cpus[0].type, "Cortex-A520");
  EXPECT_EQ(phone.cpus[4].type, "Cortex-A720");
  EXPECT_EQ(phone.cpus[7].type, "Cortex-X4");
  EXPECT_EQ(topology_of(machine("Snapdragon 8 Elite")).cpus[7].type, "Oryon");
  const Topology laptop = topology_of(machine("laptop with 6 P-cores and 8 E-cores"));
  EXPECT_EQ(laptop.cpus[11].type, "P-core");
  EXPECT_EQ(laptop.cpus[12].type, "E-core");
  EXPECT_EQ(count_cores(laptop.cpus), 14);
}

// One source of knowledge at a time: types alone and capacities alone tell the same. The clock
// alone does not: 1.8 beside 2.4 GHz could be anything, so all count.
TEST(ThreadChoice, FilesThatAreMissing) {
  Machine board = machine("RK3588");
  const auto threads = [&] { return choose_threads(0, topology_of(board), {}, {}).threads; };
  for (Group& group : board.groups) group.capacity = group.max_khz = 0;
  EXPECT_EQ(threads(), 4);
  board = machine("RK3588");
  for (Group& group : board.groups) group.midr = group.max_khz = 0;
  EXPECT_EQ(threads(), 4);
  board.groups[1].capacity = 0;  // of some CPUs only: says nothing
  EXPECT_EQ(threads(), 8);
  for (Group& group : board.groups) group.capacity = 0;
  board.groups[0].max_khz = 1800000, board.groups[1].max_khz = board.groups[2].max_khz = 2400000;
  EXPECT_EQ(threads(), 8);
  board.groups[0].max_khz = 1000000;
  EXPECT_EQ(threads(), 4);
}

TEST(ThreadChoice, OnlyWhatTheProcessMayUse) {
  const Topology board = topology_of(machine("RK3588"));
  const auto choose = [&](const char* allowed, int wanted = 0) {
    return choose_threads(wanted, board, list(allowed), {});
  };
  EXPECT_EQ(choose("0-3").threads, 4) << "little ones, if there are no others";
  EXPECT_EQ(choose("0-3").cpus, std::vector<int>{});
  EXPECT_EQ(choose("0,5").threads, 1);
  EXPECT_EQ(choose("0,5").cpus, std::vector<int>{5});
  EXPECT_EQ(choose("2,4-6").threads, 3);
  EXPECT_EQ(choose("0-7", 2).cpus, list("4-7"));
  EXPECT_EQ(choose("0-7", 8).cpus, std::vector<int>{}) << "asked for more than there are big ones";
  EXPECT_FALSE(choose("0-7", 8).crowded);
  EXPECT_TRUE(choose("4-7", 5).crowded);
  const Topology laptop = topology_of(machine("laptop with 6 P-cores and 8 E-cores"));
  EXPECT_EQ(choose_threads(0, laptop, list("0,1,2"), {}).threads, 2) << "0 and 1 share a core";
  EXPECT_EQ(choose_threads(12, laptop, {}, {}).cpus, list("0-11"));
}

TEST(ThreadChoice, Quota) {
  const Topology server = topology_of(machine("128 cores, 256 threads"));
  const auto threads = [&](double quota) { return choose_threads(0, server, {}, quota).threads; };
  EXPECT_EQ(threads(0.1), 1);
  EXPECT_EQ(threads(1), 1);
  EXPECT_EQ(threads(1.5), 2);
  EXPECT_EQ(threads(3.01), 4);
  EXPECT_EQ(threads(1000), 128);
  EXPECT_TRUE(choose_threads(8, server, {}, 4).crowded) << "spinning would eat the quota";
  EXPECT_FALSE(choose_threads(4, server, {}, 4).crowded);
}

TEST(ThreadChoice, NonsenseDoesNotMislead) {
  const Machine board{"", {{"0-3", 0, 1024, 2400000}}, 4, ""};
  const auto threads_with = [&](const char* name, std::string_view text) {
    const TemporaryFolder root;
    write_machine(root, board);
    root.write(cpu_file(1, name), text);
    return choose_threads(0, read_topology(root.path()), list("0-3"), {}).threads;
  };
  constexpr std::string_view kBytes("\0\xff\x80\0", 4);
  for (const std::string_view text : std::initializer_list<std::string_view>{
           "", "0", "-5", "99999999999999999999999", "abc", "1e3", kBytes}) {
    EXPECT_EQ(threads_with("cpu_capacity", text), 4) << text;
    EXPECT_EQ(threads_with("cpufreq/cpuinfo_max_freq", text), 4) << text;
    EXPECT_EQ(threads_with("topology/core_cpus_list", text), 4) << text;
    EXPECT_EQ(threads_with("regs/identification/midr_el1", text), 4) << text;
  }
  EXPECT_EQ(threads_with("cpu_capacity", "1000000"), 4)
      << "or one CPU would make the others little";
  EXPECT_EQ(threads_with("topology/core_cpus_list", "0-63"), 4) << "no core has 64 threads";
  EXPECT_EQ(threads_with("topology/core_cpus_list", "2-3"), 4) << "its own core is not among them";
  const TemporaryFolder root;
  EXPECT_EQ(choose_threads(0, read_topology(root.path()), list("0-2"), {}).threads, 3);
  EXPECT_GE(choose_threads(0, read_topology(root.path()), {}, {}).threads, 1);
  for (const char* online : {"x", "4-1", "0-99999999"}) {
    root.write("sys/devices/system/cpu/online", online);
    EXPECT_EQ(choose_threads(0, read_topology(root.path()), list("0-2"), {}).threads, 3) << online;
  }
}

TEST(ThreadChoice, ThisMachine) {
  const ThreadChoice choice = choose_threads();
  EXPECT_GE(choice.threads, 1);
  EXPECT_LE(choice.threads, static_cast<int>(allowed_cpus().size()));
}

}  // namespace
}  // namespace st
