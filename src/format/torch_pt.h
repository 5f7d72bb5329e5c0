// PyTorch .pt / .pth / .bin files: a zip of a pickled state dict and raw storages, read as data.
//
// Nothing in the file is executed: the pickle reader knows the opcodes that torch.save writes for a
// dict of tensors and three globals (collections.OrderedDict, torch._utils._rebuild_tensor_v2 and
// the torch.*Storage types), all of which only build values of our own. Anything else is an Error.
#pragma once

#include <memory>
#include <vector>

#include "format/tensor_reader.h"

namespace st {

// The tensors of the state dict in `source`, in its order; they share `source`. Contiguous F32, F16
// and BF16 only; zip entries must be stored, not compressed. Throws Error(kInvalidData), or
// Error(kUnsupported) for the format from before PyTorch 1.6 and other things torch can do.
std::vector<CheckpointTensor> read_torch_pt(std::shared_ptr<const ByteSource> source);

}  // namespace st
