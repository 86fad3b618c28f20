#include "daemon/audit/past_request.h"

#include <algorithm>
#include <array>
#include <map>
#include <string_view>
#include <utility>

namespace tokend::audit {
namespace {

// The texts that are kept of an intent, without its scopes: for `View` const or not, in one order.
template <class View>
auto TextsOf(View& intent) {
  return std::array{&intent.request_id,
                    &intent.caller.name,
                    &intent.caller.authentication,
                    &intent.caller.listener,
                    &intent.caller.peer,
                    &intent.caller.on_behalf_of,
                    &intent.digest,
                    &intent.trace,
                    &intent.target.organization,
                    &intent.target.application,
                    &intent.target.description,
                    &intent.grant};
}

}  // namespace

IntentTexts::IntentTexts(const RecordView& intent) {
  const auto from = TextsOf(intent);
  std::array<std::string_view, from.size()> texts;
  std::ranges::transform(from, texts.begin(), [](const std::string_view* text) { return *text; });
  texts_ = PackedTexts(texts, intent.target.scopes);
}

RecordView IntentTexts::Read() const {
  RecordView intent;
  PackedTexts::Reader texts = texts_.Read();
  for (std::string_view* const text : TextsOf(intent)) *text = texts.Next();
  while (!texts.done()) intent.target.scopes.push_back(texts.Next());
  return intent;
}

PastRequest MakePastRequest(const RecordView& intent, std::uint64_t ended_by) {
  return {IntentTexts(intent), intent.time, intent.seq, ended_by, intent.resolves};
}

void JoinIntents(PastRequests& past, std::uint64_t recent) {
  if (!std::ranges::is_sorted(past, {}, &PastRequest::intent)) {
    std::ranges::sort(past, {}, &PastRequest::intent);
  }
  if (std::ranges::all_of(past, [](const PastRequest& request) { return request.resolves == 0; })) return;
  std::map<std::uint64_t, PastRequest> joined;
  for (PastRequest& request : past) {
    const std::uint64_t first = std::exchange(request.resolves, 0);
    if (const auto known = joined.find(first); known != joined.end()) {
      known->second.ended_by = request.ended_by;
    } else if (first == 0 || first >= recent) {
      if (first != 0) request.intent = first;
      joined.emplace(request.intent, std::move(request));
    }
  }
  past.clear();
  for (auto& [intent, request] : joined) past.push_back(std::move(request));
}

}  // namespace tokend::audit
