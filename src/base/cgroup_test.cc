#include "base/cgroup.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <vector>

#include "base/system_file.h"
#include "base/thread_choice.h"
#include "support/temporary_folder.h"

namespace st {
namespace {

constexpr uint64_t kMiB = 1 << 20;

// A machine's /proc and /sys, as far as groups go.
class Tree : public TemporaryFolder {
 public:
  // `groups`: of /proc/self/cgroup. `mounts`: "ROOT POINT TYPE OPTIONS", put in mountinfo's form.
  Tree(std::string_view groups, const std::vector<std::string>& mounts) {
    write("proc/self/cgroup", groups);
    std::string info = "22 27 0:21 / /proc rw,relatime shared:5 - proc proc rw\nnonsense\n";
    for (const std::string& mount : mounts) {
      const size_t type = mount.find(' ', mount.find(' ') + 1);
      const size_t options = mount.find(' ', type + 1);
      info += "31 23 0:28 " + mount.substr(0, type) + " rw,nosuid shared:9 master:2 - " +
              mount.substr(type + 1, options - type) + "cgroup " + mount.substr(options + 1) + "\n";
    }
    write("proc/self/mountinfo", info);
  }
};

const std::vector<std::string> kV2{"/ /sys/fs/cgroup cgroup2 rw,nsdelegate"};
const std::vector<std::string> kV1{"/ /sys/fs/cgroup/cpu,cpuacct cgroup rw,cpu,cpuacct",
                                   "/ /sys/fs/cgroup/memory cgroup rw,memory"};

TEST(CgroupCpu, SmallestOnThePath) {
  const Tree tree("0::/a.slice/b.scope/c", kV2);
  EXPECT_EQ(read_cgroup_cpu(tree.path()).cpus, std::nullopt);
  tree.write("sys/fs/cgroup/a.slice/b.scope/c/cpu.max", "max 100000");
  EXPECT_EQ(read_cgroup_cpu(tree.path()).cpus, std::nullopt);
  tree.write("sys/fs/cgroup/a.slice/b.scope/cpu.max", "400000 100000");
  EXPECT_EQ(read_cgroup_cpu(tree.path()).cpus, 4);
  tree.write("sys/fs/cgroup/a.slice/cpu.max", "75000 50000");
  EXPECT_EQ(read_cgroup_cpu(tree.path()).cpus, 1.5);
  EXPECT_EQ(read_cgroup_cpu(tree.path()).file, tree / "sys/fs/cgroup/a.slice/cpu.max");
  tree.write("sys/fs/cgroup/a.slice/b.scope/c/cpu.max", "800000 100000");
  EXPECT_EQ(read_cgroup_cpu(tree.path()).cpus, 1.5);
  tree.write("sys/fs/cgroup/other/cpu.max", "1000 100000");  // not on the path
  EXPECT_EQ(read_cgroup_cpu(tree.path()).cpus, 1.5);
}

TEST(CgroupCpu, Version1) {
  const Tree tree("5:cpu,cpuacct:/a/b\n4:memory:/c\n1:name=systemd:/x\n0::/", kV1);
  const std::string top = "sys/fs/cgroup/cpu,cpuacct/";
  for (const char* group : {"a/b/", "a/", ""}) {
    tree.write(top + group + "cpu.cfs_quota_us", "-1");
    tree.write(top + group + "cpu.cfs_period_us", "100000");
  }
  EXPECT_EQ(read_cgroup_cpu(tree.path()).cpus, std::nullopt);
  tree.write(top + "a/cpu.cfs_quota_us", "250000");
  EXPECT_EQ(read_cgroup_cpu(tree.path()).cpus, 2.5);
  tree.write(top + "a/b/cpu.cfs_quota_us", "10000");
  EXPECT_EQ(read_cgroup_cpu(tree.path()).cpus, 0.1);
}

// Containers: with a namespace of their own the group is "/", without one the mount shows only
// their part of the tree, and the group may be outside of what can be seen.
TEST(CgroupCpu, Containers) {
  const auto quota = [](std::string_view group, const std::string& mount, const std::string& file) {
    const Tree tree(group, {mount});
    tree.write(file, "300000 100000");
    return read_cgroup_cpu(tree.path()).cpus;
  };
  EXPECT_EQ(quota("0::/", kV2[0], "sys/fs/cgroup/cpu.max"), 3);
  EXPECT_EQ(
      quota("0::/docker/abc", "/docker/abc /sys/fs/cgroup cgroup2 rw", "sys/fs/cgroup/cpu.max"), 3);
  EXPECT_EQ(
      quota("0::/docker/abc/d", "/docker/abc /sys/fs/cgroup cgroup2 rw", "sys/fs/cgroup/d/cpu.max"),
      3);
  EXPECT_EQ(
      quota("0::/docker/abcd", "/docker/abc /sys/fs/cgroup cgroup2 rw", "sys/fs/cgroup/cpu.max"),
      3);
  EXPECT_EQ(quota("0::/../../other", kV2[0], "sys/fs/cgroup/cpu.max"), 3);
  EXPECT_EQ(quota("0::/a", "/ /dev/my\\040group cgroup2 rw", "dev/my group/a/cpu.max"), 3);
  EXPECT_EQ(quota("0::/a:b", kV2[0], "sys/fs/cgroup/a:b/cpu.max"), 3);
}

TEST(CgroupCpu, NonsenseSetsNoLimit) {
  for (const char* text : {"", "0 100000", "100000 0", "100000", "-3 100000", "1 2 3", "x y",
                           "99999999999999999999 1"}) {
    const Tree tree("0::/a", kV2);
    tree.write("sys/fs/cgroup/a/cpu.max", text);
    EXPECT_EQ(read_cgroup_cpu(tree.path()).cpus, std::nullopt) << text;
  }
  for (const char* groups : {"", ":", "::", "0:", "no colon", "0::"}) {
    const Tree tree(groups, kV2);
    EXPECT_EQ(read_cgroup_cpu(tree.path()).cpus, std::nullopt) << groups;
    EXPECT_EQ(read_cgroup_memory(tree.path()).limit, std::nullopt) << groups;
  }
  const TemporaryFolder nothing;
  EXPECT_EQ(read_cgroup_cpu(nothing.path()).cpus, std::nullopt);
  EXPECT_EQ(read_cgroup_memory(nothing.path()).limit, std::nullopt);
  EXPECT_EQ(available_memory(nothing.path()), 0u);
}

TEST(CgroupMemory, Version2) {
  const Tree tree("0::/a/b", kV2);
  const std::string a = "sys/fs/cgroup/a/";
  const std::string b = a + "b/";
  tree.write(b + "memory.max", "max");
  tree.write(b + "memory.high", "max");
  tree.write(b + "memory.current", std::to_string(30 * kMiB));
  tree.write(b + "memory.peak", std::to_string(50 * kMiB));
  CgroupMemory memory = read_cgroup_memory(tree.path());
  EXPECT_EQ(memory.limit, std::nullopt);
  EXPECT_EQ(memory.available, std::nullopt);
  EXPECT_EQ(memory.used, 30 * kMiB);
  EXPECT_EQ(memory.peak, 50 * kMiB);

  tree.write(b + "memory.max", std::to_string(100 * kMiB));
  tree.write(b + "memory.stat", "anon 1\ninactive_file 4194304\nactive_file 1048576\nfile 9");
  memory = read_cgroup_memory(tree.path());
  EXPECT_EQ(memory.limit, 100 * kMiB);
  EXPECT_EQ(memory.available, (100 - 30 + 5) * kMiB);

  // The parent allows less, and others in it have taken most of that.
  tree.write(a + "memory.high", std::to_string(90 * kMiB));
  tree.write(a + "memory.current", std::to_string(80 * kMiB));
  memory = read_cgroup_memory(tree.path());
  EXPECT_EQ(memory.limit, 90 * kMiB);
  EXPECT_EQ(memory.file, tree / (a + "memory.high"));
  EXPECT_EQ(memory.available, 10 * kMiB);
  EXPECT_EQ(memory.used, 30 * kMiB) << "by its own group";

  tree.write(a + "memory.current", std::to_string(95 * kMiB));
  EXPECT_EQ(read_cgroup_memory(tree.path()).available, 0u);
}

TEST(CgroupMemory, Version1) {
  const Tree tree("4:memory:/a/b\n0::/", kV1);
  const std::string b = "sys/fs/cgroup/memory/a/b/";
  for (const char* group : {"a/b/", "a/", ""}) {
    tree.write(std::string("sys/fs/cgroup/memory/") + group + "memory.limit_in_bytes",
               "9223372036854771712");
  }
  tree.write(b + "memory.usage_in_bytes", std::to_string(30 * kMiB));
  tree.write(b + "memory.max_usage_in_bytes", std::to_string(50 * kMiB));
  tree.write(b + "memory.stat", "hierarchical_memory_limit 9223372036854771712");
  EXPECT_EQ(read_cgroup_memory(tree.path()).limit, std::nullopt);
  EXPECT_EQ(read_cgroup_memory(tree.path()).used, 30 * kMiB);
  EXPECT_EQ(read_cgroup_memory(tree.path()).peak, 50 * kMiB);
  tree.write("sys/fs/cgroup/memory/a/memory.limit_in_bytes", std::to_string(64 * kMiB));
  tree.write("sys/fs/cgroup/memory/a/memory.usage_in_bytes", std::to_string(44 * kMiB));
  EXPECT_EQ(read_cgroup_memory(tree.path()).limit, 64 * kMiB);
  EXPECT_EQ(read_cgroup_memory(tree.path()).available, 20 * kMiB);
  // An ancestor that a container does not see.
  tree.write(b + "memory.stat", "hierarchical_memory_limit 41943040\ntotal_inactive_file 1048576");
  EXPECT_EQ(read_cgroup_memory(tree.path()).limit, 40 * kMiB);
  EXPECT_EQ(read_cgroup_memory(tree.path()).available, 11 * kMiB);
}

TEST(CgroupMemory, OrTheMachineIfThatIsLess) {
  const Tree tree("0::/a", kV2);
  tree.write("proc/meminfo",
             "MemTotal:       24684096 kB\nMemFree: 1 kB\nMemAvailable:   102400 kB");
  EXPECT_EQ(read_machine_memory(tree.path()).total, uint64_t{24684096} * 1024);
  EXPECT_EQ(available_memory(tree.path()), 100 * kMiB);
  tree.write("sys/fs/cgroup/a/memory.max", std::to_string(40 * kMiB));
  EXPECT_EQ(available_memory(tree.path()), 40 * kMiB);
  tree.write("sys/fs/cgroup/a/memory.max", std::to_string(400 * kMiB));
  EXPECT_EQ(available_memory(tree.path()), 100 * kMiB);
}

// A real group within a group, made where we may.
class RealGroup {
 public:
  explicit RealGroup(const char* controller)
      : outer_(std::string("/sys/fs/cgroup/") + controller + "/st-test-" +
               std::to_string(::getpid())),
        inner_(outer_ + "/inner") {
    made_ = ::mkdir(outer_.c_str(), 0755) == 0 && ::mkdir(inner_.c_str(), 0755) == 0;
  }
  ~RealGroup() {
    ::rmdir(inner_.c_str());
    ::rmdir(outer_.c_str());
  }
  bool set(const char* file, const std::string& value) {
    std::ofstream out(outer_ + "/" + file);
    out << value << std::flush;
    return made_ && out.good();
  }
  bool enter() {
    std::ofstream out(inner_ + "/cgroup.procs");
    out << ::getpid() << std::flush;
    return out.good();
  }

 private:
  std::string outer_, inner_;
  bool made_ = false;
};

TEST(RealCgroup, LimitsAChild) {
  RealGroup memory("memory");
  RealGroup cpu("cpu");
  if (!memory.set("memory.limit_in_bytes", std::to_string(200 * kMiB)) ||
      !cpu.set("cpu.cfs_quota_us", "150000")) {
    GTEST_SKIP() << "needs root and cgroup v1";
  }
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    int wrong = !memory.enter() || !cpu.enter();
    const uint64_t before = read_cgroup_memory().used.value_or(0);
    const auto free_before = read_cgroup_memory().available.value_or(0);
    const std::vector<char> touched(32 * kMiB, 1);
    const CgroupMemory now = read_cgroup_memory();
    if (now.limit != 200 * kMiB) wrong |= 2;
    if (now.used < before + 31 * kMiB || now.used > 200 * kMiB) wrong |= 4;
    if (now.peak < now.used) wrong |= 8;
    if (now.available > free_before - 31 * kMiB || free_before > 200 * kMiB) wrong |= 16;
    if (read_cgroup_cpu().cpus != 1.5) wrong |= 32;
    if (choose_threads().threads > 2) wrong |= 64;
    ::_exit(wrong);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

}  // namespace
}  // namespace st
