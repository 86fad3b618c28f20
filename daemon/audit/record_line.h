#pragma once

#include <chrono>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "tokend/audit/v1/record.pb.h"

namespace tokend::audit {

// Records hold microseconds, and so do their lines.
using RecordTime = std::chrono::sys_time<std::chrono::microseconds>;

RecordTime TimeOf(const v1::Record& record);
void SetTime(RecordTime time, v1::Record& record);

// RFC 3339 in UTC with six digits: "2026-01-02T03:04:05.000006Z". Nothing if it is anything else.
std::optional<RecordTime> ParseTime(std::string_view text);

inline constexpr std::size_t kMaxLine = std::size_t{16} * 1024;  // the newline included
inline constexpr std::size_t kMaxCallerName = 2048;              // a SPIFFE ID's
inline constexpr std::size_t kMaxRequestText = 1024;
inline constexpr std::size_t kMaxDetail = 1024;

// Cuts what a caller chose in a request.* record to its maximum: each text, and all scopes together.
void CutRequestTexts(v1::Record& record);

// The record as one JSON object without a newline, shorter than kMaxLine: keys in the schema's order, numbers
// as numbers, always valid UTF-8 without raw control characters. Texts too long for that are cut; a legal
// token.intended's target never is. Pure.
std::string ToLine(const v1::Record& record);

}  // namespace tokend::audit
