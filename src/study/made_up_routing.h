// Made-up routing, to compare cache policies with: which experts each token asks for.
//
// Each token takes the experts of the highest scores. A score is what the expert's rank says, the
// ranks being shuffled anew for each layer, plus a normal deviate:
//
//   uniform    all ranks alike: nothing to know, the worst case for any cache
//   published  the frequencies of the technical report (figures 4 and 5): a fifth to a quarter of
//              the experts at 0.3-0.5 of the tokens, the others below 0.14. The gentle end of what
//              the report says: synth's models, at the other end, have a sharper edge
//   drifting   the same, but the topic changes every 200 tokens on average, and with it the ranks
//              of about half the experts
//   sticky     `drifting`, and deviates of successive tokens correlate by 0.6, as neighbouring
//              words often want the same experts
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "study/routing_trace.h"

namespace st {

enum class MadeUpKind { kUniform, kPublished, kDrifting, kSticky };

std::optional<MadeUpKind> parse_made_up_kind(std::string_view name);

// `tokens` passes of one token.
RoutingTrace make_up_routing(const RoutingShape& shape, MadeUpKind kind, int64_t tokens,
                             uint64_t seed);

// The shape of the 4B ("4b") or the 21B ("21b") in Q4_0; nullopt for another name.
std::optional<RoutingShape> released_shape(std::string_view name);

}  // namespace st
