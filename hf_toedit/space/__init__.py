"""The demo that `hf-toedit space` serves here or puts on the Hub; needs the extra `space`, which brings Gradio."""
