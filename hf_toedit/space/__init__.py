"""The demo that `hf-toedit space` serves locally or puts on the Hub; needs the extra `space`, which installs Gradio."""
