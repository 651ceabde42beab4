using System.Numerics;
using System.Runtime.InteropServices;

namespace Microsoft.ML.Diffusion;

/// <summary>The eigenvalues of a symmetric matrix in float64: Householder's reduction to tridiagonal form, then QL steps with implicit shifts (Golub and Van Loan, sections 8.3.1 and 8.3.3).</summary>
internal static class SymmetricEigenvalues
{
    private const int MaximumSteps = 60;
    private const double RoundOff = 1.2e-16;

    /// <summary>The eigenvalues, in no order.</summary>
    /// <param name="matrix">n² values, row-major; overwritten.</param>
    /// <param name="n">1 or more.</param>
    /// <exception cref="ArithmeticException">The matrix has values that are not finite.</exception>
    public static double[] Of(double[] matrix, int n)
    {
        var diagonal = new double[n];
        // One longer than it has entries, so that the QL steps may write past the end.
        var beside = new double[n];
        Tridiagonalize(matrix, n, diagonal, beside);
        Diagonalize(diagonal, beside);
        return diagonal;
    }

    // Step k reflects column k below the diagonal onto its first entry: A' = A − v·wᵀ − w·vᵀ on the rest of the matrix.
    private static void Tridiagonalize(double[] matrix, int n, double[] diagonal, double[] beside)
    {
        var v = new double[n];
        var w = new double[n];
        for (var k = 0; k < n - 1; k++)
        {
            var rest = n - k - 1;
            diagonal[k] = matrix[k * n + k];
            for (var i = 0; i < rest; i++)
                v[i] = matrix[(k + 1 + i) * n + k];
            var norm = Norm(v.AsSpan(0, rest));
            if (norm == 0)
            {
                beside[k] = 0;
                continue;
            }
            var alpha = v[0] > 0 ? -norm : norm;
            beside[k] = alpha;
            v[0] -= alpha;
            // β = 2/(vᵀv), with vᵀv = 2·norm·(norm + |a|)
            var beta = 1 / (norm * Math.Abs(v[0]));
            var reflector = v.AsSpan(0, rest);
            for (var i = 0; i < rest; i++)
                w[i] = beta * Dot(Row(matrix, n, k, i, rest), reflector);
            var half = beta / 2 * Dot(w.AsSpan(0, rest), reflector);
            for (var i = 0; i < rest; i++)
                w[i] -= half * v[i];
            for (var i = 0; i < rest; i++)
            {
                var row = Row(matrix, n, k, i, rest);
                AddScaled(row, reflector, -w[i]);
                AddScaled(row, w.AsSpan(0, rest), -v[i]);
            }
        }
        diagonal[n - 1] = matrix[n * n - 1];
    }

    private static Span<double> Row(double[] matrix, int n, int k, int i, int length) => matrix.AsSpan((k + 1 + i) * n + k + 1, length);

    private static void Diagonalize(double[] d, double[] e)
    {
        var n = d.Length;
        for (var l = 0; l < n; l++)
        {
            for (var step = 0; ; step++)
            {
                var m = l;
                while (m < n - 1 && Math.Abs(e[m]) > RoundOff * (Math.Abs(d[m]) + Math.Abs(d[m + 1])))
                    m++;
                if (m == l)
                    break;
                if (step == MaximumSteps)
                    throw new ArithmeticException("The eigenvalues did not converge: the matrix has values that are not finite.");
                QlStep(d, e, l, m);
            }
        }
    }

    // One implicit QL step on rows l … m, shifted by the eigenvalue of the leading 2×2 block.
    private static void QlStep(double[] d, double[] e, int l, int m)
    {
        var g = (d[l + 1] - d[l]) / (2 * e[l]);
        g = d[m] - d[l] + e[l] / (g + Math.CopySign(double.Hypot(g, 1), g));
        double s = 1, c = 1, p = 0;
        for (var i = m - 1; i >= l; i--)
        {
            double f = s * e[i], b = c * e[i];
            var r = double.Hypot(f, g);
            e[i + 1] = r;
            if (r == 0)
            {
                d[i + 1] -= p;
                e[m] = 0;
                return;
            }
            s = f / r;
            c = g / r;
            g = d[i + 1] - p;
            r = (d[i] - g) * s + 2 * c * b;
            p = s * r;
            d[i + 1] = g + p;
            g = c * r - b;
        }
        d[l] -= p;
        e[l] = g;
        e[m] = 0;
    }

    private static double Norm(ReadOnlySpan<double> x) => Math.Sqrt(Dot(x, x));

    /// <summary>Σ x_i·y_i.</summary>
    internal static double Dot(ReadOnlySpan<double> x, ReadOnlySpan<double> y)
    {
        var wideX = MemoryMarshal.Cast<double, Vector<double>>(x);
        var wideY = MemoryMarshal.Cast<double, Vector<double>>(y);
        var wide = Vector<double>.Zero;
        for (var i = 0; i < wideX.Length; i++)
            wide += wideX[i] * wideY[i];
        var sum = Vector.Sum(wide);
        for (var i = wideX.Length * Vector<double>.Count; i < x.Length; i++)
            sum += x[i] * y[i];
        return sum;
    }

    /// <summary>y += scale·x.</summary>
    internal static void AddScaled(Span<double> y, ReadOnlySpan<double> x, double scale)
    {
        var wideX = MemoryMarshal.Cast<double, Vector<double>>(x);
        var wideY = MemoryMarshal.Cast<double, Vector<double>>(y);
        for (var i = 0; i < wideX.Length; i++)
            wideY[i] += wideX[i] * scale;
        for (var i = wideX.Length * Vector<double>.Count; i < x.Length; i++)
            y[i] += x[i] * scale;
    }
}
