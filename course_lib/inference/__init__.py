"""Where do a chatbot's seconds go, and how few can it take? Models as graphs, run by ONNX Runtime (notebook 10).

    from course_lib.inference.exporting import export_folder
    from course_lib.inference.onnx_generator import OnnxGenerator
    export_folder("models/atlas-longt5", "runs/atlas-longt5-onnx")
    OnnxGenerator("runs/atlas-longt5-onnx").answers([[5, 6, 7, 1]])

An export is a folder with graphs (.onnx) and a manifest.json. Making one needs torch; answering with it does not load
torch, unless tokens are to be drawn. Importing this package alone loads neither.
"""
