"""GGUF: models in the file format of llama.cpp, most of them in 2 to 8 bits a number.

`header` reads what a file holds, without torch and without the package; `layers` puts its tensors on a module, where
each layer widens its weights as it computes. The format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""
