"""Inpaint: redrawing a part of a picture – latents that may change there, models made for it, crop and stitch."""
