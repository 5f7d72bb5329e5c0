#include "convert/hf_config_keys.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <span>

#include "base/error.h"
#include "base/json_keys.h"

namespace st {
namespace {

// Read whatever the family is: by hf_config.cc and hf_rope.cc, or by text/hf_vocab.cc.
constexpr KnownKey kOfAll[] = {
    {"architectures"},
    {"model_type"},
    {"model_name"},
    {"num_hidden_layers"},
    {"hidden_size"},
    {"num_attention_heads"},
    {"num_key_value_heads"},
    {"head_dim"},
    {"vocab_size"},
    {"max_position_embeddings"},
    {"rms_norm_eps"},
    {"rope_theta"},
    {"rope_scaling"},
    {"rope_parameters"},
    {"sliding_window"},
    {"layer_types"},
    {"tie_word_embeddings"},
    {"bos_token_id"},
    {"eos_token_id"},
    {"pad_token_id"},

    // The mathematics has one form here.
    {"attention_bias", "[false]"},
    {"attention_out_bias", "[false]"},
    {"qkv_bias", "[false]"},
    {"mlp_bias", "[false]"},
    {"use_bias", "[false]"},
    {"lm_head_bias", "[false]"},
    {"partial_rotary_factor", "[1]"},
    {"rotary_pct", "[1]"},
    {"rope_interleave", "[false]"},
    {"routed_scaling_factor", "[1]"},
    {"moe_routed_scaling_factor", "[1]"},
    {"n_group", "[1]"},
    {"topk_group", "[1]"},
    {"moe_num_shared_experts", "[0]"},
    {"num_shared_experts", "[0]"},
    {"n_shared_experts", "[0]"},
    {"shared_expert_intermediate_size", "[0]"},
    {"first_k_dense_replace", "[0]"},
    {"moe_layer_freq", "[1]"},
    {"num_nextn_predict_layers", "[0]"},
    {"clip_qkv", "[]"},
    {"quantization_config", "[]"},
    {"compression_config", "[]"},
    {"attn_logit_softcapping", "[]"},
    {"final_logit_softcapping", "[]"},
    {"logit_scale", "[1]"},
    {"logits_scaling", "[1]"},
    {"embedding_multiplier", "[1]"},
    {"residual_multiplier", "[1]"},
    {"is_encoder_decoder", "[false]"},
    {"add_cross_attention", "[false]"},
    {"pruned_heads", "[{}]"},
};

constexpr KnownKey kOfNoResult[] = {
    // Training, numbers' types, and who made the file.
    {"_name_or_path"},
    {"_commit_hash"},
    {"_attn_implementation"},
    {"_attn_implementation_autoset"},
    {"_attn_implementation_internal"},
    {"attn_implementation"},
    {"auto_map"},
    {"torch_dtype"},
    {"dtype"},
    {"transformers_version"},
    {"unsloth_version"},
    {"unsloth_fixed"},
    {"use_cache"},
    {"initializer_range"},
    {"attention_dropout"},
    {"hidden_dropout"},
    {"embd_pdrop"},
    {"resid_pdrop"},
    {"attn_pdrop"},
    {"output_router_logits"},
    {"router_aux_loss_coef"},
    {"aux_loss_alpha"},
    {"pretraining_tp"},
    {"is_decoder"},
    {"output_attentions"},
    {"output_hidden_states"},
    {"return_dict"},
    {"torchscript"},
    {"use_bfloat16"},
    {"tf_legacy_loss"},
    {"chunk_size_feed_forward"},
    {"tie_encoder_decoder"},
    {"finetuning_task"},
    {"problem_type"},
    {"task_specific_params"},
    {"id2label"},
    {"label2id"},
    {"num_labels"},

    // The tokenizer, and how a text is drawn: tokens have files of their own, drawing has options.
    {"tokenizer_class"},
    {"prefix"},
    {"unk_token_id"},
    {"sep_token_id"},
    {"cls_token_id"},
    {"mask_token_id"},
    {"decoder_start_token_id"},
    {"bad_words_ids"},
    {"begin_suppress_tokens"},
    {"suppress_tokens"},
    {"diversity_penalty"},
    {"do_sample"},
    {"early_stopping"},
    {"encoder_no_repeat_ngram_size"},
    {"exponential_decay_length_penalty"},
    {"forced_bos_token_id"},
    {"forced_eos_token_id"},
    {"length_penalty"},
    {"max_length"},
    {"min_length"},
    {"max_new_tokens"},
    {"min_p"},
    {"no_repeat_ngram_size"},
    {"num_beam_groups"},
    {"num_beams"},
    {"num_return_sequences"},
    {"output_scores"},
    {"remove_invalid_values"},
    {"repetition_penalty"},
    {"return_dict_in_generate"},
    {"temperature"},
    {"top_k"},
    {"top_p"},
    {"typical_p"},
};

using Keys = std::span<const KnownKey>;

// Of a name that is there twice the first counts.
std::vector<std::string> check_against(const nlohmann::json& config,
                                       std::initializer_list<Keys> all) {
  constexpr size_t kShown = 8;
  std::vector<KnownKey> known;
  for (const Keys keys : all) known.insert(known.end(), keys.begin(), keys.end());
  const std::vector<std::string> off = check_keys(config, known);
  if (off.empty()) return {};
  std::string names;
  for (size_t i = 0; i < std::min(off.size(), kShown); ++i) {
    names += (i == 0 ? "" : ", ") + printable(off[i], 64);
  }
  if (off.size() > kShown) names += fmt::format(" and {} more", off.size() - kShown);
  return {"config.json: unknown keys that are off: " + names};
}

}  // namespace

std::vector<std::string> check_hf_config_keys(const nlohmann::json& config, Keys own) {
  return check_against(config, {own, kOfAll, kOfNoResult});
}

std::vector<std::string> check_hf_outer_keys(const nlohmann::json& config, Keys own) {
  return check_against(config, {own, kOfNoResult});
}

}  // namespace st
