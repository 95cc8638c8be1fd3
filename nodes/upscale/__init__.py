"""Upscale: larger pictures – networks trained for it, and denoising tile by tile."""
