"""From bytes on disk to ids: reading, named texts, tokenizers, ids on disk, and which windows a step sees."""
