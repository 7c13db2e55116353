"""What options of the command line accept, without the modules that define it, which are slow to import."""

IMAGE_RESIZES = ("jpeg_lanczos3", "bicubic")
CARDS = ("keep", "renew")
NORMALIZATIONS = ("bounds", "bounds_q99", "normal")
PLATFORMS = ("libero", "aloha", "bridge", "calvin", "vlabench")
FAMILIES = ("cogvla", "mapanything_llava3d", "alpamayo_r1", "generic")
ASSEMBLIES = ("mapanything_llava3d",)
DTYPES = ("auto", "float32", "bfloat16", "float16")
LLAVA3D_CHOICES = {
    "expert_layer_alignment": ("top", "even"),
    "prefix_attention": ("bidirectional", "causal"),
    "pixel_range": ("siglip", "unit"),
    "geometry_normalization": ("imagenet", "none"),
}
DIT_CHOICES = {"context": ("interleave", "cross", "concat"), "output_projection": ("adaln", "none")}
