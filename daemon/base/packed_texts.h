#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

namespace tokend {

// Texts in one block of memory, each after its length: for what is kept many times over.
class PackedTexts {
 public:
  PackedTexts() = default;

  // Packs the texts of two ranges, one range after the other. Each text is shorter than 4 GiB.
  template <class Texts, class More>
  PackedTexts(const Texts& texts, const More& more) {
    const auto for_each = [&texts, &more](auto use) {
      for (const std::string_view text : texts) use(text);
      for (const std::string_view text : more) use(text);
    };
    std::size_t size = 0;
    for_each([&size](std::string_view text) { size += sizeof(Length) + text.size(); });
    block_.resize(size);
    char* next = block_.data();
    for_each([&next](std::string_view text) {
      const auto length = static_cast<Length>(text.size());
      std::memcpy(next, &length, sizeof(length));
      text.copy(next + sizeof(length), text.size());
      next += sizeof(length) + text.size();
    });
  }

  // Takes the texts in their order. They are valid until the PackedTexts change or move.
  class Reader {
   public:
    bool done() const { return left_.empty(); }
    std::string_view Next() {
      Length length = 0;
      std::memcpy(&length, left_.data(), sizeof(length));
      const std::string_view text = left_.substr(sizeof(length), length);
      left_.remove_prefix(sizeof(length) + length);
      return text;
    }

   private:
    friend PackedTexts;
    explicit Reader(std::string_view block) : left_(block) {}

    std::string_view left_;
  };

  Reader Read() const { return Reader(block_); }

 private:
  using Length = std::uint32_t;

  std::string block_;
};

}  // namespace tokend
