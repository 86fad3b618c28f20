#include <fcntl.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <string_view>
#include <vector>

// Runs a fuzz target (libFuzzer's LLVMFuzzerTestOneInput) without libFuzzer, which g++ does not have:
//   fuzz-NAME FOLDER     every seed of the folder, then mutations of them for 15 seconds; for ten minutes
//   with
//                        TOKEND_LONG_TESTS=1. TOKEND_FUZZ_SEED repeats a run
//   fuzz-NAME FILE…      these inputs alone
// The input that is running stands in fuzz-NAME.input in the working folder, also after a crash.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t kMaxInput = std::size_t{64} << 10U;
constexpr std::chrono::seconds kShortRun{15};
constexpr std::chrono::seconds kLongRun{600};
constexpr time_t kLongestInputSeconds = 20;  // of the processor, after which SIGVTALRM ends the run
constexpr std::size_t kMaxMutations = 8;

constexpr std::array<std::string_view, 24> kPieces = {"",
                                                      "\xff",
                                                      "\xc0\xaf",
                                                      "\xe2\x80\xae",
                                                      "\n",
                                                      "\t",
                                                      "\"",
                                                      "\\u0000",
                                                      "{",
                                                      "}",
                                                      "[",
                                                      "]",
                                                      "{sub}",
                                                      "***",
                                                      "..",
                                                      "://",
                                                      "null",
                                                      "1e999",
                                                      "-0",
                                                      "*",
                                                      "99999999999999999999",
                                                      ": ",
                                                      "- ",
                                                      "&a"};

std::string ReadFile(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

// In a file that outlives a crash; zeros follow it.
class RunningInput {
 public:
  explicit RunningInput(const std::string& path) {
    const int file = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (file < 0 || ftruncate(file, kMaxInput) != 0) std::abort();
    void* memory = mmap(nullptr, kMaxInput, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (memory == MAP_FAILED) std::abort();
    bytes_ = static_cast<char*>(memory);
    file_ = file;
  }
  ~RunningInput() { close(file_); }
  RunningInput(const RunningInput&) = delete;
  RunningInput& operator=(const RunningInput&) = delete;

  void Set(const std::string& input) {
    std::memcpy(bytes_, input.data(), input.size());
    if (input.size() < size_) std::memset(bytes_ + input.size(), 0, size_ - input.size());
    size_ = input.size();
  }

 private:
  char* bytes_ = nullptr;
  int file_ = -1;
  std::size_t size_ = 0;
};

void Run(const std::string& input) {
  const itimerval longest = {.it_interval = {}, .it_value = {.tv_sec = kLongestInputSeconds, .tv_usec = 0}};
  setitimer(ITIMER_VIRTUAL, &longest, nullptr);
  // A copy of its own, so that reading past its end is seen.
  const std::vector<std::uint8_t> bytes(input.begin(), input.end());
  LLVMFuzzerTestOneInput(bytes.data(), bytes.size());
}

class Mutator {
 public:
  Mutator(std::vector<std::string> seeds, std::uint64_t seed) : seeds_(std::move(seeds)), random_(seed) {}

  std::string Next() {
    std::string input = AnySeed();
    for (std::size_t i = Below(kMaxMutations) + 1; i > 0; --i) Mutate(input);
    if (input.size() > kMaxInput) input.resize(kMaxInput);
    return input;
  }

 private:
  // 0 for 0.
  std::size_t Below(std::size_t bound) { return bound == 0 ? 0 : random_() % bound; }
  const std::string& AnySeed() { return seeds_[Below(seeds_.size())]; }

  void Mutate(std::string& input) {
    const std::size_t at = Below(input.size() + 1);
    const std::size_t length = Below(std::min<std::size_t>(input.size() - at, 64) + 1);
    switch (Below(9)) {
      case 0:
        if (at < input.size())
          input[at] = static_cast<char>(static_cast<unsigned char>(input[at]) ^ (1U << Below(8)));
        return;
      case 1:
        if (at < input.size()) input[at] = static_cast<char>(random_());
        return;
      case 2:
        input.insert(at, 1, static_cast<char>(random_()));
        return;
      case 3:
        input.erase(at, length);
        return;
      case 4:
        input.insert(at, input.substr(at, length));
        return;
      case 5:
        input.insert(Below(input.size() + 1), input.substr(at, length));
        return;
      case 6: {
        const std::string& other = AnySeed();
        const std::size_t from = Below(other.size() + 1);
        input.replace(at, length, other.substr(from, Below(128)));
        return;
      }
      case 7: {
        const std::string_view piece = kPieces[Below(kPieces.size())];
        input.insert(at, piece.empty() ? std::string(1, '\0') : std::string(piece));
        return;
      }
      default:
        input.insert(at, Below(2000), static_cast<char>(random_()));
        return;
    }
  }

  std::vector<std::string> seeds_;
  std::mt19937_64 random_;
};

std::uint64_t ChooseSeed() {
  if (const char* given = std::getenv("TOKEND_FUZZ_SEED")) return std::strtoull(given, nullptr, 10);
  return std::random_device{}();
}

std::vector<std::string> ReadSeeds(const std::filesystem::path& folder) {
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) files.push_back(entry.path());
  std::sort(files.begin(), files.end());
  std::vector<std::string> seeds;
  seeds.reserve(files.size());
  for (const auto& file : files) seeds.push_back(ReadFile(file));
  return seeds;
}

void Fuzz(const std::filesystem::path& folder, const std::string& name) {
  const std::vector<std::string> seeds = ReadSeeds(folder);
  if (seeds.empty()) std::abort();
  const std::uint64_t seed = ChooseSeed();
  const auto duration = std::getenv("TOKEND_LONG_TESTS") != nullptr ? kLongRun : kShortRun;
  std::printf("%s: TOKEND_FUZZ_SEED=%llu, %zu seeds, %lld s\n", name.c_str(),
              static_cast<unsigned long long>(seed), seeds.size(), static_cast<long long>(duration.count()));
  std::fflush(stdout);

  RunningInput running(name + ".input");
  for (const std::string& input : seeds) {
    running.Set(input);
    Run(input);
  }
  Mutator mutator(seeds, seed);
  std::uint64_t runs = 0;
  for (const auto end = Clock::now() + duration; Clock::now() < end; ++runs) {
    const std::string input = mutator.Next();
    running.Set(input);
    Run(input);
  }
  std::printf("%s: %llu mutations\n", name.c_str(), static_cast<unsigned long long>(runs));
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "usage: %s FOLDER | FILE...\n", argv[0]);
    return 2;
  }
  if (std::filesystem::is_directory(argv[1])) {
    Fuzz(argv[1], std::filesystem::path(argv[0]).filename());
    return 0;
  }
  for (int i = 1; i < argc; ++i) Run(ReadFile(argv[i]));
  return 0;
}
