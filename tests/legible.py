"""What holds for every figure of the book."""

import matplotlib

from memlib.book import show

matplotlib.use("Agg")
NARROW = 390  # pixels of a telephone's screen


def assert_legible(draw, *arguments, axes=True):
    """In the book's style: type of 7.5 pixels and more on a narrow screen, nothing cut off, words on the axes."""
    import matplotlib.pyplot as plt

    show.style()
    figure = draw(*arguments)
    try:
        figure.draw_without_rendering()
        texts = [
            t
            for t in figure.findobj(lambda o: hasattr(o, "get_fontsize"))
            if t.get_text().strip() and t.get_visible()
        ]
        assert texts
        assert min(t.get_fontsize() for t in texts) * NARROW / figure.get_figwidth() / 72 >= 7.5
        assert figure.get_facecolor()[3] == 0
        box, (width, height) = figure.get_tightbbox(), figure.get_size_inches()
        assert box.x0 >= -0.02
        assert box.y0 >= -0.02
        assert box.x1 <= width + 0.02
        assert box.y1 <= height + 0.02
        assert all(ax.get_facecolor()[3] == 0 or not ax.axison for ax in figure.axes)
        if axes:
            assert any(len(ax.get_xlabel()) >= 5 for ax in figure.axes)
            assert any(len(ax.get_ylabel()) >= 5 for ax in figure.axes)
    finally:
        plt.close(figure)
