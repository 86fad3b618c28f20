#pragma once

#include <array>
#include <cstddef>

namespace tokend {

// Why tokend sends no request of an organization, or of one of its applications, to the upstream for a while.
enum class Block { kBreakerOpen, kKeyRejected, kPaused, kApplicationBreakerOpen };

// What follows from a block.
struct BlockFacts {
  Block block;
  const char* metric;  // a gauge, one series an organization
  const char* metric_help;
  const char* begin_event;  // of the operational log
  const char* end_event;    // likewise
  const char* words;        // for the admin page
};

inline constexpr std::array<BlockFacts, 4> kBlocks = {{
    {Block::kBreakerOpen, "tokend_upstream_breaker_open",
     "Whether an organization's circuit breaker is open: its requests are not sent, because earlier ones "
     "failed.",
     "upstream.breaker_opened", "upstream.breaker_closed", "upstream fails: the circuit breaker is open"},
    {Block::kKeyRejected, "tokend_upstream_key_rejected",
     "Whether the upstream rejects an organization's API key.", "upstream.key_rejected",
     "upstream.key_accepted", "upstream rejects the API key: replace it"},
    {Block::kPaused, "tokend_upstream_paused",
     "Whether the upstream has asked for a pause of an organization's requests.", "upstream.paused",
     "upstream.resumed", "upstream asked for a pause"},
    {Block::kApplicationBreakerOpen, "tokend_upstream_application_breaker_open",
     "Whether the circuit breaker of an application of the organization is open: the application's requests "
     "are not sent, because earlier ones failed.",
     "upstream.application_breaker_opened", "upstream.application_breakers_closed",
     "upstream fails for an application: its circuit breaker is open"},
}};

constexpr std::size_t IndexOf(Block block) { return static_cast<std::size_t>(block); }

constexpr const BlockFacts& FactsOf(Block block) { return kBlocks[IndexOf(block)]; }

static_assert(FactsOf(Block::kBreakerOpen).block == Block::kBreakerOpen &&
              FactsOf(Block::kKeyRejected).block == Block::kKeyRejected &&
              FactsOf(Block::kPaused).block == Block::kPaused &&
              FactsOf(Block::kApplicationBreakerOpen).block == Block::kApplicationBreakerOpen);

}  // namespace tokend
